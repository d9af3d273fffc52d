"""Rows of sessions, of what they come to by the hour and by the day, and of thresholds.

The row of a project in `HealthProject` is the lock of all that is here of it: who writes sessions or rollups of a
project locks that first.
"""

from peewee import CompositeKey, Model

from store.database.fields import CountField, DenseBytesField, IdField, TextField, TimeField


class HealthProject(Model):
    """A project that had sessions. last_time is when the last of them began; sought_time is when releases were last
    created of what sessions name, 0 before the first time."""

    project_id = IdField(primary_key=True)
    organization_id = IdField()
    last_time = TimeField()
    sought_time = TimeField()

    class Meta:
        table_name = "health_project"
        indexes = (
            (("last_time", "project_id"), True),
            (("organization_id", "last_time", "project_id"), True),
        )


class HealthSeries(Model):
    """The sessions of one version of a project in one environment; of all versions together where version is empty.

    environment is empty for sessions without one. first_time and last_time are when the first and the last session
    began. Hours before days_until are counted in rows of days, too: an update that comes late changes both.
    release_id is set once the release is there and linked to the environment. Of a deleted release the series goes by a
    version that no caller can write, as the release does, until the drain has removed what is counted in it.
    """

    id = IdField(primary_key=True)
    project_id = IdField()
    version = TextField()
    environment = TextField()
    organization_id = IdField()
    release_id = IdField(null=True)
    first_time = TimeField()
    last_time = TimeField()
    days_until = TimeField()

    class Meta:
        table_name = "health_series"
        indexes = (
            (("project_id", "version", "environment"), True),
            (("project_id", "last_time", "id"), True),
            (("organization_id", "version", "project_id", "environment"), True),
        )


HealthSeries.add_index(
    HealthSeries.release_id, HealthSeries.id, name="health_series_release", where=HealthSeries.release_id.is_null(False)
)
# Series with hours that are in no day yet; those of the days under way are among them, the latest last.
HealthSeries.add_index(
    HealthSeries.days_until,
    HealthSeries.id,
    name="health_series_hours",
    where=HealthSeries.last_time >= HealthSeries.days_until,
)


class HealthSums(Model):
    """What a series counts in a span of time that begins at start_time.

    session_count holds all sessions; crashed_count, abnormal_count and errored_count (with errors, and neither of the
    others) each a part of them. error_count is the sum of their errors. users, crashed_users and durations are sketches
    as `store.health.sketches` writes them, NULL while nothing is in them.
    """

    series_id = IdField()
    start_time = TimeField()
    session_count = CountField()
    crashed_count = CountField()
    abnormal_count = CountField()
    errored_count = CountField()
    error_count = CountField()
    users = DenseBytesField(null=True)
    crashed_users = DenseBytesField(null=True)
    durations = DenseBytesField(null=True)

    class Meta:
        primary_key = CompositeKey("series_id", "start_time")


class HealthHour(HealthSums):
    """The sums of an hour."""

    class Meta:
        table_name = "health_hour"
        indexes = ((("start_time", "series_id"), True),)


class HealthDay(HealthSums):
    """The sums of a day of UTC: those of its hours together."""

    class Meta:
        table_name = "health_day"
        indexes = ((("start_time", "series_id"), True),)


class Session(Model):
    """What was last told of a session, for as long as more of it may come: so its updates count as one. hour is the
    beginning of the hour in which it began; status is a SessionStatus, timed is 1 once its duration counted."""

    project_id = IdField()
    session_id = IdField()
    series_id = IdField()
    hour = TimeField()
    sequence = CountField()
    status = CountField()
    error_count = CountField()
    timed = CountField()

    class Meta:
        table_name = "session"
        primary_key = CompositeKey("project_id", "session_id")
        without_rowid = True
        indexes = ((("hour", "project_id", "session_id"), True),)


class CountedSessions(Model):
    """Counts that were told already, for as long as they may be told again."""

    project_id = IdField()
    counts_id = IdField()
    hour = TimeField()

    class Meta:
        table_name = "counted_sessions"
        primary_key = CompositeKey("project_id", "counts_id")
        without_rowid = True
        indexes = ((("hour", "project_id", "counts_id"), True),)


class Threshold(Model):
    """environment is NULL where sessions of all count, empty for those without one. metric is a ThresholdMetric,
    trigger a ThresholdTrigger, value_thousandths the value in thousandths."""

    id = IdField(primary_key=True)
    organization_id = IdField()
    project_id = IdField()
    environment = TextField(null=True)
    metric = CountField()
    trigger = CountField()
    value_thousandths = CountField()
    window_seconds = CountField()
    create_time = TimeField()
    update_time = TimeField()

    class Meta:
        table_name = "threshold"
        indexes = ((("project_id", "id"), True), (("organization_id", "id"), True))
