"""What must hold of sessions in the tables after every crash."""

from __future__ import annotations

from typing import Final

# Of what is deleted the drain takes away piece by piece: of that only the rest of all is claimed, that nothing hangs in
# the air. Versions of deleted releases have a line feed.
_LIVING: Final = """WITH living AS (
    SELECT s.* FROM health_series s JOIN project p ON p.id = s.project_id
    JOIN organization o ON o.id = s.organization_id AND o.delete_time IS NULL WHERE s.version NOT LIKE '%\n%')"""
_COUNTS: Final = ("session_count", "crashed_count", "abnormal_count", "errored_count", "error_count")
# The purge goes by time: behind the first hour that is left there are all.
_FIRST_HOUR: Final = "(SELECT min(f.start_time) FROM health_hour f)"
_NOTHING_DELETED: Final = """NOT EXISTS (SELECT 1 FROM activity v
    WHERE v.project_id = {project} AND v.kind = 'release_deleted')"""


def _sums(rows: str, of: str = _COUNTS[0]) -> str:
    return f"coalesce(sum({rows}.{of}), 0)"


def _day_is_its_hours(count: str) -> str:
    return f"""{_LIVING} SELECT s.version, d.start_time, d.{count} FROM living s
        JOIN health_day d ON d.series_id = s.id WHERE d.start_time > {_FIRST_HOUR} AND d.{count} <>
        (SELECT {_sums("h", count)} FROM health_hour h WHERE h.series_id = d.series_id
         AND h.start_time >= d.start_time AND h.start_time < d.start_time + 86400000000)"""


HEALTH_ROWS: Final = {
    **{f"a day's {count} is not that of its hours": _day_is_its_hours(count) for count in _COUNTS},
    "an hour before days_until is in no day": f"""{_LIVING}
        SELECT s.version, h.start_time FROM living s JOIN health_hour h ON h.series_id = s.id
        LEFT JOIN health_day d ON d.series_id = s.id AND d.start_time <= h.start_time
        AND d.start_time + 86400000000 > h.start_time WHERE h.start_time < s.days_until AND d.series_id IS NULL""",
    "there is a day that is not built yet": """
        SELECT s.version, d.start_time FROM health_series s JOIN health_day d ON d.series_id = s.id
        WHERE d.start_time >= s.days_until""",
    "an hour's series is not there": """
        SELECT h.start_time FROM health_hour h LEFT JOIN health_series s ON s.id = h.series_id WHERE s.id IS NULL""",
    "a day's series is not there": """
        SELECT d.start_time FROM health_day d LEFT JOIN health_series s ON s.id = d.series_id WHERE s.id IS NULL""",
    "versions together have more sessions than the project": f"""{_LIVING}
        SELECT s.project_id, s.environment, h.start_time FROM living s JOIN health_hour h ON h.series_id = s.id
        WHERE s.version <> '' AND h.start_time > {_FIRST_HOUR} GROUP BY s.project_id, s.environment, h.start_time
        HAVING sum(h.session_count) > (SELECT {_sums("t")} FROM living a JOIN health_hour t ON t.series_id = a.id
         WHERE a.project_id = s.project_id AND a.environment = s.environment AND a.version = ''
         AND t.start_time = h.start_time)""",
    "a project has sessions that no version has": f"""{_LIVING}
        SELECT a.project_id, a.environment, t.start_time FROM living a JOIN health_hour t ON t.series_id = a.id
        WHERE a.version = '' AND t.start_time > {_FIRST_HOUR} AND {_NOTHING_DELETED.format(project="a.project_id")}
        AND t.session_count > (SELECT {_sums("h")} FROM living s JOIN health_hour h ON h.series_id = s.id
         WHERE s.project_id = a.project_id AND s.environment = a.environment AND s.version <> ''
         AND h.start_time = t.start_time)""",
    "a session's series is not there": f"""
        SELECT e.session_id FROM session e JOIN project p ON p.id = e.project_id
        JOIN organization o ON o.id = p.organization_id AND o.delete_time IS NULL
        LEFT JOIN health_series s ON s.id = e.series_id
        WHERE s.id IS NULL AND {_NOTHING_DELETED.format(project="e.project_id")}""",
    "an hour counts fewer sessions than are kept of it": f"""{_LIVING}
        SELECT s.version, e.hour, count(*) FROM living s JOIN session e ON e.series_id = s.id
        WHERE e.hour > {_FIRST_HOUR} GROUP BY s.id, s.version, e.hour HAVING count(*) >
        (SELECT {_sums("h")} FROM health_hour h WHERE h.series_id = s.id AND h.start_time = e.hour)""",
    "an hour counts fewer crashes than are kept of it": f"""{_LIVING}
        SELECT s.version, e.hour, count(*) FROM living s JOIN session e ON e.series_id = s.id
        WHERE e.status = 4 AND e.hour > {_FIRST_HOUR} GROUP BY s.id, s.version, e.hour HAVING count(*) >
        (SELECT {_sums("h", "crashed_count")} FROM health_hour h WHERE h.series_id = s.id AND h.start_time = e.hour)""",
    "the release of a series is another's, or not there": f"""{_LIVING}
        SELECT s.version FROM living s LEFT JOIN "release" r ON r.id = s.release_id
        AND r.version = s.version AND r.organization_id = s.organization_id
        WHERE s.release_id IS NOT NULL AND r.id IS NULL""",
    "the release of a series is not of its project": f"""{_LIVING}
        SELECT s.version FROM living s LEFT JOIN release_project p
        ON p.release_id = s.release_id AND p.project_id = s.project_id
        WHERE s.release_id IS NOT NULL AND p.release_id IS NULL""",
    "the release of a series is not in its environment": f"""{_LIVING}
        SELECT s.version, s.environment FROM living s WHERE s.release_id IS NOT NULL AND NOT EXISTS
        (SELECT 1 FROM release_environment r JOIN environment e ON e.id = r.environment_id
         WHERE r.release_id = s.release_id AND r.project_id = s.project_id AND e.display_name = s.environment)""",
    "a series has later sessions than its project": """
        SELECT s.version FROM health_series s LEFT JOIN health_project p ON p.project_id = s.project_id
        WHERE p.project_id IS NULL OR p.last_time < s.last_time""",
}
