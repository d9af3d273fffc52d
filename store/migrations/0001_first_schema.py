"""First schema."""

from __future__ import annotations

from typing import Any

from peewee import SqliteDatabase

SQLITE = [
    """CREATE TABLE "activity" (
        "id" BLOB NOT NULL PRIMARY KEY,
        "organization_id" BLOB NOT NULL,
        "project_id" BLOB,
        "kind" TEXT NOT NULL,
        "subject" TEXT NOT NULL,
        "data" TEXT NOT NULL,
        "token_id" BLOB NOT NULL,
        "certificate" TEXT NOT NULL,
        "caller" TEXT NOT NULL,
        "happen_time" INTEGER NOT NULL
    )""",
    """CREATE UNIQUE INDEX "activity_organization_id_project_id_happen_time_id"
        ON "activity" ("organization_id", "project_id", "happen_time", "id")""",
    """CREATE UNIQUE INDEX "activity_organization_id_subject_happen_time_id"
        ON "activity" ("organization_id", "subject", "happen_time", "id")""",
    """CREATE UNIQUE INDEX "activity_organization_id_happen_time_id"
        ON "activity" ("organization_id", "happen_time", "id")""",
    """CREATE TABLE "answered_request" (
        "token_id" BLOB NOT NULL,
        "method" TEXT NOT NULL,
        "request_id" TEXT NOT NULL,
        "body_sha256" BLOB NOT NULL,
        "reply" BLOB NOT NULL,
        "expire_time" INTEGER NOT NULL,
        PRIMARY KEY ("token_id", "method", "request_id")
    )""",
    """CREATE INDEX "answeredrequest_expire_time"
        ON "answered_request" ("expire_time")""",
    """CREATE TABLE "chunk" (
        "organization_id" BLOB NOT NULL,
        "sha256" BLOB NOT NULL,
        "size_bytes" INTEGER NOT NULL,
        "pack_id" BLOB NOT NULL,
        "pack_offset" INTEGER NOT NULL,
        "stored_bytes" INTEGER NOT NULL,
        "encoding" INTEGER NOT NULL,
        "checksum" BLOB NOT NULL,
        "state" TEXT NOT NULL,
        "touched_at" INTEGER NOT NULL,
        PRIMARY KEY ("organization_id", "sha256")
    ) WITHOUT ROWID""",
    """CREATE INDEX "chunk_pack_id_pack_offset"
        ON "chunk" ("pack_id", "pack_offset")""",
    """CREATE TABLE "commit" (
        "id" BLOB NOT NULL PRIMARY KEY,
        "organization_id" BLOB NOT NULL,
        "repository_id" BLOB NOT NULL,
        "key" TEXT NOT NULL,
        "author_id" BLOB,
        "author_name" TEXT,
        "message" TEXT,
        "commit_time" INTEGER,
        "changed_file_count" INTEGER NOT NULL
    )""",
    """CREATE UNIQUE INDEX "commit_repository_id_key"
        ON "commit" ("repository_id", "key")""",
    """CREATE INDEX "commit_organization_id_key"
        ON "commit" ("organization_id", "key")""",
    """CREATE TABLE "commit_author" (
        "id" BLOB NOT NULL PRIMARY KEY,
        "organization_id" BLOB NOT NULL,
        "email" TEXT NOT NULL,
        "display_name" TEXT,
        "folded_email" TEXT NOT NULL,
        "folded_name" TEXT NOT NULL
    )""",
    """CREATE UNIQUE INDEX "commitauthor_organization_id_email"
        ON "commit_author" ("organization_id", "email")""",
    """CREATE UNIQUE INDEX "commitauthor_organization_id_folded_email_id"
        ON "commit_author" ("organization_id", "folded_email", "id")""",
    """CREATE UNIQUE INDEX "commitauthor_organization_id_folded_name_id"
        ON "commit_author" ("organization_id", "folded_name", "id")""",
    """CREATE TABLE "commit_file" (
        "commit_id" BLOB NOT NULL,
        "path" TEXT NOT NULL,
        "change_type" INTEGER NOT NULL,
        PRIMARY KEY ("commit_id", "path")
    ) WITHOUT ROWID""",
    """CREATE TABLE "commit_reference" (
        "commit_id" BLOB NOT NULL,
        "position" INTEGER NOT NULL,
        "reference" TEXT NOT NULL,
        "folded_reference" TEXT NOT NULL,
        PRIMARY KEY ("commit_id", "position")
    ) WITHOUT ROWID""",
    """CREATE TABLE "content" (
        "id" BLOB NOT NULL PRIMARY KEY,
        "organization_id" BLOB NOT NULL,
        "sha256" BLOB NOT NULL,
        "size_bytes" INTEGER NOT NULL,
        "inline_data" BLOB,
        "checksum" BLOB,
        "create_time" INTEGER NOT NULL,
        "touched_at" INTEGER NOT NULL
    )""",
    """CREATE UNIQUE INDEX "content_organization_id_sha256"
        ON "content" ("organization_id", "sha256")""",
    """CREATE TABLE "content_chunk" (
        "content_id" BLOB NOT NULL,
        "organization_id" BLOB NOT NULL,
        "start_offset" INTEGER NOT NULL,
        "chunk_sha256" BLOB NOT NULL,
        "size_bytes" INTEGER NOT NULL,
        PRIMARY KEY ("content_id", "start_offset")
    ) WITHOUT ROWID""",
    """CREATE INDEX "contentchunk_organization_id_chunk_sha256"
        ON "content_chunk" ("organization_id", "chunk_sha256")""",
    """CREATE TABLE "counted_sessions" (
        "project_id" BLOB NOT NULL,
        "counts_id" BLOB NOT NULL,
        "hour" INTEGER NOT NULL,
        PRIMARY KEY ("project_id", "counts_id")
    ) WITHOUT ROWID""",
    """CREATE UNIQUE INDEX "countedsessions_hour_project_id_counts_id"
        ON "counted_sessions" ("hour", "project_id", "counts_id")""",
    """CREATE TABLE "deploy" (
        "id" BLOB NOT NULL PRIMARY KEY,
        "organization_id" BLOB NOT NULL,
        "release_id" BLOB NOT NULL,
        "environment_id" BLOB NOT NULL,
        "display_name" TEXT NOT NULL,
        "url" TEXT NOT NULL,
        "start_time" INTEGER,
        "finish_time" INTEGER NOT NULL,
        "create_time" INTEGER NOT NULL
    )""",
    """CREATE UNIQUE INDEX "deploy_release_id_finish_time_id"
        ON "deploy" ("release_id", "finish_time", "id")""",
    """CREATE UNIQUE INDEX "deploy_organization_id_finish_time_id"
        ON "deploy" ("organization_id", "finish_time", "id")""",
    """CREATE UNIQUE INDEX "deploy_environment_id_finish_time_id"
        ON "deploy" ("environment_id", "finish_time", "id")""",
    """CREATE TABLE "deploy_project" (
        "project_id" BLOB NOT NULL,
        "environment_id" BLOB NOT NULL,
        "finish_time" INTEGER NOT NULL,
        "deploy_id" BLOB NOT NULL,
        "release_id" BLOB NOT NULL,
        PRIMARY KEY ("project_id", "environment_id", "finish_time", "deploy_id")
    ) WITHOUT ROWID""",
    """CREATE UNIQUE INDEX "deployproject_project_id_finish_time_deploy_id"
        ON "deploy_project" ("project_id", "finish_time", "deploy_id")""",
    """CREATE UNIQUE INDEX "deployproject_deploy_id_project_id"
        ON "deploy_project" ("deploy_id", "project_id")""",
    """CREATE UNIQUE INDEX "deployproject_release_id_project_id_deploy_id"
        ON "deploy_project" ("release_id", "project_id", "deploy_id")""",
    """CREATE TABLE "draining_project" (
        "project_id" BLOB NOT NULL PRIMARY KEY,
        "organization_id" BLOB NOT NULL,
        "delete_time" INTEGER NOT NULL
    )""",
    """CREATE TABLE "draining_release" (
        "release_id" BLOB NOT NULL PRIMARY KEY,
        "delete_time" INTEGER NOT NULL
    )""",
    """CREATE TABLE "environment" (
        "id" BLOB NOT NULL PRIMARY KEY,
        "organization_id" BLOB NOT NULL,
        "display_name" TEXT NOT NULL,
        "create_time" INTEGER NOT NULL
    )""",
    """CREATE UNIQUE INDEX "environment_organization_id_display_name"
        ON "environment" ("organization_id", "display_name")""",
    """CREATE TABLE "environment_project" (
        "project_id" BLOB NOT NULL,
        "display_name" TEXT NOT NULL,
        "environment_id" BLOB NOT NULL,
        PRIMARY KEY ("project_id", "display_name")
    ) WITHOUT ROWID""",
    """CREATE UNIQUE INDEX "environmentproject_environment_id_project_id"
        ON "environment_project" ("environment_id", "project_id")""",
    """CREATE TABLE "health_day" (
        "series_id" BLOB NOT NULL,
        "start_time" INTEGER NOT NULL,
        "session_count" INTEGER NOT NULL,
        "crashed_count" INTEGER NOT NULL,
        "abnormal_count" INTEGER NOT NULL,
        "errored_count" INTEGER NOT NULL,
        "error_count" INTEGER NOT NULL,
        "users" BLOB,
        "crashed_users" BLOB,
        "durations" BLOB,
        PRIMARY KEY ("series_id", "start_time")
    )""",
    """CREATE UNIQUE INDEX "healthday_start_time_series_id"
        ON "health_day" ("start_time", "series_id")""",
    """CREATE TABLE "health_hour" (
        "series_id" BLOB NOT NULL,
        "start_time" INTEGER NOT NULL,
        "session_count" INTEGER NOT NULL,
        "crashed_count" INTEGER NOT NULL,
        "abnormal_count" INTEGER NOT NULL,
        "errored_count" INTEGER NOT NULL,
        "error_count" INTEGER NOT NULL,
        "users" BLOB,
        "crashed_users" BLOB,
        "durations" BLOB,
        PRIMARY KEY ("series_id", "start_time")
    )""",
    """CREATE UNIQUE INDEX "healthhour_start_time_series_id"
        ON "health_hour" ("start_time", "series_id")""",
    """CREATE TABLE "health_project" (
        "project_id" BLOB NOT NULL PRIMARY KEY,
        "organization_id" BLOB NOT NULL,
        "last_time" INTEGER NOT NULL,
        "sought_time" INTEGER NOT NULL
    )""",
    """CREATE UNIQUE INDEX "healthproject_last_time_project_id"
        ON "health_project" ("last_time", "project_id")""",
    """CREATE UNIQUE INDEX "healthproject_organization_id_last_time_project_id"
        ON "health_project" ("organization_id", "last_time", "project_id")""",
    """CREATE TABLE "health_series" (
        "id" BLOB NOT NULL PRIMARY KEY,
        "project_id" BLOB NOT NULL,
        "version" TEXT NOT NULL,
        "environment" TEXT NOT NULL,
        "organization_id" BLOB NOT NULL,
        "release_id" BLOB,
        "first_time" INTEGER NOT NULL,
        "last_time" INTEGER NOT NULL,
        "days_until" INTEGER NOT NULL
    )""",
    """CREATE UNIQUE INDEX "healthseries_project_id_version_environment"
        ON "health_series" ("project_id", "version", "environment")""",
    """CREATE UNIQUE INDEX "healthseries_project_id_last_time_id"
        ON "health_series" ("project_id", "last_time", "id")""",
    """CREATE UNIQUE INDEX "healthseries_organization_id_version_project_id_environment"
        ON "health_series" ("organization_id", "version", "project_id", "environment")""",
    """CREATE INDEX "health_series_release"
        ON "health_series" ("release_id", "id")
        WHERE ("release_id" IS NOT NULL)""",
    """CREATE INDEX "health_series_hours"
        ON "health_series" ("days_until", "id")
        WHERE ("last_time" >= "days_until")""",
    """CREATE TABLE "installation_secret" (
        "purpose" TEXT NOT NULL PRIMARY KEY,
        "value" BLOB NOT NULL
    )""",
    """CREATE TABLE "job_lease" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "holder" TEXT NOT NULL,
        "fence" INTEGER NOT NULL,
        "expire_time" INTEGER NOT NULL,
        "due_time" INTEGER NOT NULL
    )""",
    """CREATE TABLE "organization" (
        "id" BLOB NOT NULL PRIMARY KEY,
        "slug" TEXT NOT NULL,
        "display_name" TEXT NOT NULL,
        "open_membership" INTEGER NOT NULL,
        "avatar_type" INTEGER NOT NULL,
        "avatar_content_id" BLOB,
        "avatar_uid" BLOB,
        "debug_files_role" TEXT NOT NULL,
        "attachments_role" TEXT NOT NULL,
        "join_requests" INTEGER NOT NULL,
        "early_adopter" INTEGER NOT NULL,
        "events_member_admin" INTEGER NOT NULL,
        "alerts_member_write" INTEGER NOT NULL,
        "quota_stored_bytes" INTEGER,
        "quota_file_count" INTEGER,
        "quota_stream_count" INTEGER,
        "create_time" INTEGER NOT NULL,
        "update_time" INTEGER NOT NULL,
        "delete_time" INTEGER
    )""",
    """CREATE UNIQUE INDEX "organization_slug_index"
        ON "organization" ("slug")""",
    """CREATE INDEX "organization_avatar_content"
        ON "organization" ("avatar_content_id")
        WHERE ("avatar_content_id" IS NOT NULL)""",
    """CREATE TABLE "organization_slug" (
        "slug" TEXT NOT NULL PRIMARY KEY,
        "organization_id" BLOB NOT NULL
    )""",
    """CREATE TABLE "organization_usage" (
        "organization_id" BLOB NOT NULL,
        "shard" INTEGER NOT NULL,
        "stored_bytes" INTEGER NOT NULL,
        "file_count" INTEGER NOT NULL,
        "is_limited" INTEGER NOT NULL,
        PRIMARY KEY ("organization_id", "shard")
    ) WITHOUT ROWID""",
    """CREATE TABLE "pack" (
        "id" BLOB NOT NULL PRIMARY KEY,
        "organization_id" BLOB NOT NULL,
        "size_bytes" INTEGER NOT NULL,
        "state" TEXT NOT NULL,
        "create_time" INTEGER NOT NULL,
        "touched_at" INTEGER NOT NULL
    )""",
    """CREATE TABLE "project" (
        "id" BLOB NOT NULL PRIMARY KEY,
        "organization_id" BLOB NOT NULL,
        "slug" TEXT NOT NULL,
        "display_name" TEXT NOT NULL,
        "platform" TEXT NOT NULL,
        "manual_releases" INTEGER NOT NULL,
        "create_time" INTEGER NOT NULL,
        "update_time" INTEGER NOT NULL
    )""",
    """CREATE UNIQUE INDEX "project_organization_id_slug"
        ON "project" ("organization_id", "slug")""",
    """CREATE TABLE "project_slug" (
        "organization_id" BLOB NOT NULL,
        "slug" TEXT NOT NULL,
        "project_id" BLOB NOT NULL,
        PRIMARY KEY ("organization_id", "slug")
    )""",
    """CREATE TABLE "release" (
        "id" BLOB NOT NULL PRIMARY KEY,
        "organization_id" BLOB NOT NULL,
        "version" TEXT NOT NULL,
        "folded_version" TEXT NOT NULL,
        "status" INTEGER NOT NULL,
        "ref" TEXT NOT NULL,
        "url" TEXT NOT NULL,
        "owner" TEXT NOT NULL,
        "folded_owner" TEXT NOT NULL,
        "user_agent" TEXT NOT NULL,
        "release_time" INTEGER,
        "create_time" INTEGER NOT NULL,
        "update_time" INTEGER NOT NULL,
        "delete_time" INTEGER,
        "revision" INTEGER NOT NULL,
        "sort_time" INTEGER NOT NULL,
        "version_key" BLOB NOT NULL,
        "build_key" INTEGER NOT NULL,
        "package" TEXT,
        "build_code" TEXT,
        "project_count" INTEGER NOT NULL,
        "commit_count" INTEGER NOT NULL,
        "author_count" INTEGER NOT NULL,
        "head_count" INTEGER NOT NULL,
        "file_count" INTEGER NOT NULL,
        "label_count" INTEGER NOT NULL,
        "last_commit_id" BLOB,
        "deploy_count" INTEGER NOT NULL,
        "last_deploy_id" BLOB
    )""",
    """CREATE UNIQUE INDEX "release_organization_id_version"
        ON "release" ("organization_id", "version")""",
    """CREATE UNIQUE INDEX "release_organization_id_status_id"
        ON "release" ("organization_id", "status", "id")""",
    """CREATE UNIQUE INDEX "release_organization_id_status_sort_time_id"
        ON "release" ("organization_id", "status", "sort_time", "id")""",
    """CREATE UNIQUE INDEX "release_organization_id_status_version_key_id"
        ON "release" ("organization_id", "status", "version_key", "id")""",
    """CREATE UNIQUE INDEX "release_organization_id_status_build_key_id"
        ON "release" ("organization_id", "status", "build_key", "id")""",
    """CREATE UNIQUE INDEX "release_organization_id_status_version_id"
        ON "release" ("organization_id", "status", "version", "id")""",
    """CREATE UNIQUE INDEX "release_organization_id_status_commit_count_id"
        ON "release" ("organization_id", "status", "commit_count", "id")""",
    """CREATE UNIQUE INDEX "release_organization_id_status_deploy_count_id"
        ON "release" ("organization_id", "status", "deploy_count", "id")""",
    """CREATE INDEX "release_package"
        ON "release" ("organization_id", "package", "id")
        WHERE ("package" > '')""",
    """CREATE INDEX "release_build_code"
        ON "release" ("organization_id", "build_code", "id")
        WHERE ("build_code" > '')""",
    """CREATE INDEX "release_ref"
        ON "release" ("organization_id", "ref", "id")
        WHERE ("ref" > '')""",
    """CREATE INDEX "release_folded_owner"
        ON "release" ("organization_id", "folded_owner", "id")
        WHERE ("folded_owner" > '')""",
    """CREATE TABLE "release_author" (
        "release_id" BLOB NOT NULL,
        "email" TEXT NOT NULL,
        "author_id" BLOB NOT NULL,
        PRIMARY KEY ("release_id", "email")
    ) WITHOUT ROWID""",
    """CREATE UNIQUE INDEX "releaseauthor_author_id_release_id"
        ON "release_author" ("author_id", "release_id")""",
    """CREATE TABLE "release_commit" (
        "release_id" BLOB NOT NULL,
        "position" INTEGER NOT NULL,
        "commit_id" BLOB NOT NULL,
        PRIMARY KEY ("release_id", "position")
    ) WITHOUT ROWID""",
    """CREATE UNIQUE INDEX "releasecommit_commit_id_release_id"
        ON "release_commit" ("commit_id", "release_id")""",
    """CREATE TABLE "release_environment" (
        "release_id" BLOB NOT NULL,
        "project_id" BLOB NOT NULL,
        "environment_id" BLOB NOT NULL,
        "last_deploy_id" BLOB,
        "last_finish_time" INTEGER,
        "deploy_count" INTEGER NOT NULL,
        "adopted_time" INTEGER,
        "unadopted_time" INTEGER,
        PRIMARY KEY ("release_id", "project_id", "environment_id")
    ) WITHOUT ROWID""",
    """CREATE INDEX "releaseenvironment_project_id_environment_id_last_finish_8886ea7"
        ON "release_environment" ("project_id", "environment_id", "last_finish_time", "last_deploy_id")""",
    """CREATE UNIQUE INDEX "releaseenvironment_environment_id_release_id_project_id"
        ON "release_environment" ("environment_id", "release_id", "project_id")""",
    """CREATE INDEX "release_environment_adopted"
        ON "release_environment" ("project_id", "environment_id", "adopted_time", "release_id")
        WHERE ("adopted_time" IS NOT NULL)""",
    """CREATE INDEX "release_environment_adopted_now"
        ON "release_environment" ("project_id", "environment_id", "release_id")
        WHERE (("adopted_time" IS NOT NULL) AND ("unadopted_time" IS NULL))""",
    """CREATE TABLE "release_file" (
        "id" BLOB NOT NULL PRIMARY KEY,
        "organization_id" BLOB NOT NULL,
        "release_id" BLOB NOT NULL,
        "file_name" TEXT NOT NULL,
        "project_id" BLOB NOT NULL,
        "dist" TEXT NOT NULL,
        "headers" TEXT NOT NULL,
        "content_id" BLOB NOT NULL,
        "kind" INTEGER NOT NULL,
        "folded_name" TEXT NOT NULL,
        "create_time" INTEGER NOT NULL
    )""",
    """CREATE UNIQUE INDEX "releasefile_release_id_file_name_project_id_dist"
        ON "release_file" ("release_id", "file_name", "project_id", "dist")""",
    """CREATE UNIQUE INDEX "releasefile_release_id_file_name_id"
        ON "release_file" ("release_id", "file_name", "id")""",
    """CREATE INDEX "releasefile_release_id_folded_name_file_name"
        ON "release_file" ("release_id", "folded_name", "file_name")""",
    """CREATE INDEX "releasefile_content_id_release_id"
        ON "release_file" ("content_id", "release_id")""",
    """CREATE TABLE "release_head" (
        "release_id" BLOB NOT NULL,
        "repository_id" BLOB NOT NULL,
        "commit_id" BLOB NOT NULL,
        "from_ref" INTEGER NOT NULL,
        "previous_key" TEXT,
        PRIMARY KEY ("release_id", "repository_id")
    ) WITHOUT ROWID""",
    """CREATE UNIQUE INDEX "releasehead_repository_id_release_id"
        ON "release_head" ("repository_id", "release_id")""",
    """CREATE TABLE "release_label" (
        "release_id" BLOB NOT NULL,
        "key" TEXT NOT NULL,
        "value" TEXT NOT NULL,
        "organization_id" BLOB NOT NULL,
        PRIMARY KEY ("release_id", "key")
    ) WITHOUT ROWID""",
    """CREATE UNIQUE INDEX "releaselabel_organization_id_key_value_release_id"
        ON "release_label" ("organization_id", "key", "value", "release_id")""",
    """CREATE TABLE "release_project" (
        "project_id" BLOB NOT NULL,
        "release_id" BLOB NOT NULL,
        "organization_id" BLOB NOT NULL,
        "status" INTEGER NOT NULL,
        "sort_time" INTEGER NOT NULL,
        "version_key" BLOB NOT NULL,
        "build_key" INTEGER NOT NULL,
        "version" TEXT NOT NULL,
        "commit_count" INTEGER NOT NULL,
        "deploy_count" INTEGER NOT NULL,
        PRIMARY KEY ("project_id", "release_id")
    ) WITHOUT ROWID""",
    """CREATE UNIQUE INDEX "releaseproject_release_id_project_id"
        ON "release_project" ("release_id", "project_id")""",
    """CREATE UNIQUE INDEX "releaseproject_project_id_status_release_id"
        ON "release_project" ("project_id", "status", "release_id")""",
    """CREATE UNIQUE INDEX "releaseproject_project_id_status_sort_time_release_id"
        ON "release_project" ("project_id", "status", "sort_time", "release_id")""",
    """CREATE UNIQUE INDEX "releaseproject_project_id_status_version_key_release_id"
        ON "release_project" ("project_id", "status", "version_key", "release_id")""",
    """CREATE UNIQUE INDEX "releaseproject_project_id_status_build_key_release_id"
        ON "release_project" ("project_id", "status", "build_key", "release_id")""",
    """CREATE UNIQUE INDEX "releaseproject_project_id_status_version_release_id"
        ON "release_project" ("project_id", "status", "version", "release_id")""",
    """CREATE UNIQUE INDEX "releaseproject_project_id_status_commit_count_release_id"
        ON "release_project" ("project_id", "status", "commit_count", "release_id")""",
    """CREATE UNIQUE INDEX "releaseproject_project_id_status_deploy_count_release_id"
        ON "release_project" ("project_id", "status", "deploy_count", "release_id")""",
    """CREATE INDEX "release_project_with_commits"
        ON "release_project" ("project_id", "sort_time", "release_id")
        WHERE ("commit_count" > 0)""",
    """CREATE TABLE "release_reference" (
        "release_id" BLOB NOT NULL,
        "reference" TEXT NOT NULL,
        "commit_id" BLOB NOT NULL,
        "organization_id" BLOB NOT NULL,
        "folded_reference" TEXT NOT NULL,
        PRIMARY KEY ("release_id", "reference", "commit_id")
    ) WITHOUT ROWID""",
    """CREATE INDEX "releasereference_commit_id_release_id_reference"
        ON "release_reference" ("commit_id", "release_id", "reference")""",
    """CREATE INDEX "releasereference_organization_id_folded_reference_release_id"
        ON "release_reference" ("organization_id", "folded_reference", "release_id")""",
    """CREATE TABLE "repository" (
        "id" BLOB NOT NULL PRIMARY KEY,
        "organization_id" BLOB NOT NULL,
        "display_name" TEXT NOT NULL,
        "active_name" TEXT,
        "url" TEXT NOT NULL,
        "provider" TEXT NOT NULL,
        "external_id" TEXT,
        "state" INTEGER NOT NULL,
        "create_time" INTEGER NOT NULL,
        "update_time" INTEGER NOT NULL
    )""",
    """CREATE UNIQUE INDEX "repository_organization_id_active_name"
        ON "repository" ("organization_id", "active_name")""",
    """CREATE UNIQUE INDEX "repository_organization_id_provider_external_id"
        ON "repository" ("organization_id", "provider", "external_id")""",
    """CREATE UNIQUE INDEX "repository_organization_id_display_name_id"
        ON "repository" ("organization_id", "display_name", "id")""",
    """CREATE TABLE "session" (
        "project_id" BLOB NOT NULL,
        "session_id" BLOB NOT NULL,
        "series_id" BLOB NOT NULL,
        "hour" INTEGER NOT NULL,
        "sequence" INTEGER NOT NULL,
        "status" INTEGER NOT NULL,
        "error_count" INTEGER NOT NULL,
        "timed" INTEGER NOT NULL,
        PRIMARY KEY ("project_id", "session_id")
    ) WITHOUT ROWID""",
    """CREATE UNIQUE INDEX "session_hour_project_id_session_id"
        ON "session" ("hour", "project_id", "session_id")""",
    """CREATE TABLE "threshold" (
        "id" BLOB NOT NULL PRIMARY KEY,
        "organization_id" BLOB NOT NULL,
        "project_id" BLOB NOT NULL,
        "environment" TEXT,
        "metric" INTEGER NOT NULL,
        "trigger" INTEGER NOT NULL,
        "value_thousandths" INTEGER NOT NULL,
        "window_seconds" INTEGER NOT NULL,
        "create_time" INTEGER NOT NULL,
        "update_time" INTEGER NOT NULL
    )""",
    """CREATE UNIQUE INDEX "threshold_project_id_id"
        ON "threshold" ("project_id", "id")""",
    """CREATE UNIQUE INDEX "threshold_organization_id_id"
        ON "threshold" ("organization_id", "id")""",
    """CREATE TABLE "token" (
        "id" BLOB NOT NULL PRIMARY KEY,
        "organization_id" BLOB,
        "display_name" TEXT NOT NULL,
        "secret_sha256" BLOB NOT NULL,
        "secret_suffix" TEXT NOT NULL,
        "old_secret_sha256" BLOB,
        "old_secret_expire_time" INTEGER,
        "scopes" TEXT NOT NULL,
        "all_projects" INTEGER NOT NULL,
        "create_time" INTEGER NOT NULL,
        "expire_time" INTEGER,
        "revoke_time" INTEGER
    )""",
    """CREATE UNIQUE INDEX "token_secret_sha256"
        ON "token" ("secret_sha256")""",
    """CREATE UNIQUE INDEX "token_old_secret_sha256"
        ON "token" ("old_secret_sha256")""",
    """CREATE UNIQUE INDEX "token_organization_id_id"
        ON "token" ("organization_id", "id")""",
    """CREATE TABLE "token_project" (
        "token_id" BLOB NOT NULL,
        "project_id" BLOB NOT NULL,
        PRIMARY KEY ("token_id", "project_id")
    )""",
    """CREATE TABLE "upload" (
        "organization_id" BLOB NOT NULL,
        "id" BLOB NOT NULL,
        "header_sha256" BLOB NOT NULL,
        "header" TEXT NOT NULL,
        "release_id" BLOB NOT NULL,
        "state" TEXT NOT NULL,
        "fence" INTEGER NOT NULL,
        "committed_bytes" INTEGER NOT NULL,
        "file_id" BLOB,
        "created" INTEGER NOT NULL,
        "create_time" INTEGER NOT NULL,
        "expire_time" INTEGER NOT NULL,
        PRIMARY KEY ("organization_id", "id")
    )""",
    """CREATE INDEX "upload_expire_time"
        ON "upload" ("expire_time")""",
    """CREATE TABLE "upload_chunk" (
        "organization_id" BLOB NOT NULL,
        "upload_id" BLOB NOT NULL,
        "start_offset" INTEGER NOT NULL,
        "chunk_sha256" BLOB NOT NULL,
        "size_bytes" INTEGER NOT NULL,
        PRIMARY KEY ("organization_id", "upload_id", "start_offset")
    ) WITHOUT ROWID""",
    """CREATE INDEX "uploadchunk_organization_id_chunk_sha256"
        ON "upload_chunk" ("organization_id", "chunk_sha256")""",
]

POSTGRESQL = [
    """CREATE TABLE "activity" (
        "id" BYTEA NOT NULL PRIMARY KEY,
        "organization_id" BYTEA NOT NULL,
        "project_id" BYTEA,
        "kind" TEXT COLLATE "C" NOT NULL,
        "subject" TEXT COLLATE "C" NOT NULL,
        "data" TEXT COLLATE "C" NOT NULL,
        "token_id" BYTEA NOT NULL,
        "certificate" TEXT COLLATE "C" NOT NULL,
        "caller" TEXT COLLATE "C" NOT NULL,
        "happen_time" BIGINT NOT NULL
    )""",
    """CREATE UNIQUE INDEX "activity_organization_id_project_id_happen_time_id"
        ON "activity" ("organization_id", "project_id", "happen_time", "id")""",
    """CREATE UNIQUE INDEX "activity_organization_id_subject_happen_time_id"
        ON "activity" ("organization_id", "subject", "happen_time", "id")""",
    """CREATE UNIQUE INDEX "activity_organization_id_happen_time_id"
        ON "activity" ("organization_id", "happen_time", "id")""",
    """CREATE TABLE "answered_request" (
        "token_id" BYTEA NOT NULL,
        "method" TEXT COLLATE "C" NOT NULL,
        "request_id" TEXT COLLATE "C" NOT NULL,
        "body_sha256" BYTEA NOT NULL,
        "reply" BYTEA NOT NULL,
        "expire_time" BIGINT NOT NULL,
        PRIMARY KEY ("token_id", "method", "request_id")
    )""",
    """CREATE INDEX "answeredrequest_expire_time"
        ON "answered_request" ("expire_time")""",
    """CREATE TABLE "chunk" (
        "organization_id" BYTEA NOT NULL,
        "sha256" BYTEA NOT NULL,
        "size_bytes" BIGINT NOT NULL,
        "pack_id" BYTEA NOT NULL,
        "pack_offset" BIGINT NOT NULL,
        "stored_bytes" BIGINT NOT NULL,
        "encoding" BIGINT NOT NULL,
        "checksum" BYTEA NOT NULL,
        "state" TEXT COLLATE "C" NOT NULL,
        "touched_at" BIGINT NOT NULL,
        PRIMARY KEY ("organization_id", "sha256")
    )""",
    """CREATE INDEX "chunk_pack_id_pack_offset"
        ON "chunk" ("pack_id", "pack_offset")""",
    """CREATE TABLE "commit" (
        "id" BYTEA NOT NULL PRIMARY KEY,
        "organization_id" BYTEA NOT NULL,
        "repository_id" BYTEA NOT NULL,
        "key" TEXT COLLATE "C" NOT NULL,
        "author_id" BYTEA,
        "author_name" TEXT COLLATE "C",
        "message" TEXT COLLATE "C",
        "commit_time" BIGINT,
        "changed_file_count" BIGINT NOT NULL
    )""",
    """CREATE UNIQUE INDEX "commit_repository_id_key"
        ON "commit" ("repository_id", "key")""",
    """CREATE INDEX "commit_organization_id_key"
        ON "commit" ("organization_id", "key")""",
    """CREATE TABLE "commit_author" (
        "id" BYTEA NOT NULL PRIMARY KEY,
        "organization_id" BYTEA NOT NULL,
        "email" TEXT COLLATE "C" NOT NULL,
        "display_name" TEXT COLLATE "C",
        "folded_email" TEXT COLLATE "C" NOT NULL,
        "folded_name" TEXT COLLATE "C" NOT NULL
    )""",
    """CREATE UNIQUE INDEX "commitauthor_organization_id_email"
        ON "commit_author" ("organization_id", "email")""",
    """CREATE UNIQUE INDEX "commitauthor_organization_id_folded_email_id"
        ON "commit_author" ("organization_id", "folded_email", "id")""",
    """CREATE UNIQUE INDEX "commitauthor_organization_id_folded_name_id"
        ON "commit_author" ("organization_id", "folded_name", "id")""",
    """CREATE TABLE "commit_file" (
        "commit_id" BYTEA NOT NULL,
        "path" TEXT COLLATE "C" NOT NULL,
        "change_type" BIGINT NOT NULL,
        PRIMARY KEY ("commit_id", "path")
    )""",
    """CREATE TABLE "commit_reference" (
        "commit_id" BYTEA NOT NULL,
        "position" BIGINT NOT NULL,
        "reference" TEXT COLLATE "C" NOT NULL,
        "folded_reference" TEXT COLLATE "C" NOT NULL,
        PRIMARY KEY ("commit_id", "position")
    )""",
    """CREATE TABLE "content" (
        "id" BYTEA NOT NULL PRIMARY KEY,
        "organization_id" BYTEA NOT NULL,
        "sha256" BYTEA NOT NULL,
        "size_bytes" BIGINT NOT NULL,
        "inline_data" BYTEA,
        "checksum" BYTEA,
        "create_time" BIGINT NOT NULL,
        "touched_at" BIGINT NOT NULL
    )""",
    """CREATE UNIQUE INDEX "content_organization_id_sha256"
        ON "content" ("organization_id", "sha256")""",
    """CREATE TABLE "content_chunk" (
        "content_id" BYTEA NOT NULL,
        "organization_id" BYTEA NOT NULL,
        "start_offset" BIGINT NOT NULL,
        "chunk_sha256" BYTEA NOT NULL,
        "size_bytes" BIGINT NOT NULL,
        PRIMARY KEY ("content_id", "start_offset")
    )""",
    """CREATE INDEX "contentchunk_organization_id_chunk_sha256"
        ON "content_chunk" ("organization_id", "chunk_sha256")""",
    """CREATE TABLE "counted_sessions" (
        "project_id" BYTEA NOT NULL,
        "counts_id" BYTEA NOT NULL,
        "hour" BIGINT NOT NULL,
        PRIMARY KEY ("project_id", "counts_id")
    )""",
    """CREATE UNIQUE INDEX "countedsessions_hour_project_id_counts_id"
        ON "counted_sessions" ("hour", "project_id", "counts_id")""",
    """CREATE TABLE "deploy" (
        "id" BYTEA NOT NULL PRIMARY KEY,
        "organization_id" BYTEA NOT NULL,
        "release_id" BYTEA NOT NULL,
        "environment_id" BYTEA NOT NULL,
        "display_name" TEXT COLLATE "C" NOT NULL,
        "url" TEXT COLLATE "C" NOT NULL,
        "start_time" BIGINT,
        "finish_time" BIGINT NOT NULL,
        "create_time" BIGINT NOT NULL
    )""",
    """CREATE UNIQUE INDEX "deploy_release_id_finish_time_id"
        ON "deploy" ("release_id", "finish_time", "id")""",
    """CREATE UNIQUE INDEX "deploy_organization_id_finish_time_id"
        ON "deploy" ("organization_id", "finish_time", "id")""",
    """CREATE UNIQUE INDEX "deploy_environment_id_finish_time_id"
        ON "deploy" ("environment_id", "finish_time", "id")""",
    """CREATE TABLE "deploy_project" (
        "project_id" BYTEA NOT NULL,
        "environment_id" BYTEA NOT NULL,
        "finish_time" BIGINT NOT NULL,
        "deploy_id" BYTEA NOT NULL,
        "release_id" BYTEA NOT NULL,
        PRIMARY KEY ("project_id", "environment_id", "finish_time", "deploy_id")
    )""",
    """CREATE UNIQUE INDEX "deployproject_project_id_finish_time_deploy_id"
        ON "deploy_project" ("project_id", "finish_time", "deploy_id")""",
    """CREATE UNIQUE INDEX "deployproject_deploy_id_project_id"
        ON "deploy_project" ("deploy_id", "project_id")""",
    """CREATE UNIQUE INDEX "deployproject_release_id_project_id_deploy_id"
        ON "deploy_project" ("release_id", "project_id", "deploy_id")""",
    """CREATE TABLE "draining_project" (
        "project_id" BYTEA NOT NULL PRIMARY KEY,
        "organization_id" BYTEA NOT NULL,
        "delete_time" BIGINT NOT NULL
    )""",
    """CREATE TABLE "draining_release" (
        "release_id" BYTEA NOT NULL PRIMARY KEY,
        "delete_time" BIGINT NOT NULL
    )""",
    """CREATE TABLE "environment" (
        "id" BYTEA NOT NULL PRIMARY KEY,
        "organization_id" BYTEA NOT NULL,
        "display_name" TEXT COLLATE "C" NOT NULL,
        "create_time" BIGINT NOT NULL
    )""",
    """CREATE UNIQUE INDEX "environment_organization_id_display_name"
        ON "environment" ("organization_id", "display_name")""",
    """CREATE TABLE "environment_project" (
        "project_id" BYTEA NOT NULL,
        "display_name" TEXT COLLATE "C" NOT NULL,
        "environment_id" BYTEA NOT NULL,
        PRIMARY KEY ("project_id", "display_name")
    )""",
    """CREATE UNIQUE INDEX "environmentproject_environment_id_project_id"
        ON "environment_project" ("environment_id", "project_id")""",
    """CREATE TABLE "health_day" (
        "series_id" BYTEA NOT NULL,
        "start_time" BIGINT NOT NULL,
        "session_count" BIGINT NOT NULL,
        "crashed_count" BIGINT NOT NULL,
        "abnormal_count" BIGINT NOT NULL,
        "errored_count" BIGINT NOT NULL,
        "error_count" BIGINT NOT NULL,
        "users" BYTEA,
        "crashed_users" BYTEA,
        "durations" BYTEA,
        PRIMARY KEY ("series_id", "start_time")
    )""",
    """CREATE UNIQUE INDEX "healthday_start_time_series_id"
        ON "health_day" ("start_time", "series_id")""",
    """ALTER TABLE "health_day" ALTER COLUMN "users" SET STORAGE EXTERNAL""",
    """ALTER TABLE "health_day" ALTER COLUMN "crashed_users" SET STORAGE EXTERNAL""",
    """ALTER TABLE "health_day" ALTER COLUMN "durations" SET STORAGE EXTERNAL""",
    """CREATE TABLE "health_hour" (
        "series_id" BYTEA NOT NULL,
        "start_time" BIGINT NOT NULL,
        "session_count" BIGINT NOT NULL,
        "crashed_count" BIGINT NOT NULL,
        "abnormal_count" BIGINT NOT NULL,
        "errored_count" BIGINT NOT NULL,
        "error_count" BIGINT NOT NULL,
        "users" BYTEA,
        "crashed_users" BYTEA,
        "durations" BYTEA,
        PRIMARY KEY ("series_id", "start_time")
    )""",
    """CREATE UNIQUE INDEX "healthhour_start_time_series_id"
        ON "health_hour" ("start_time", "series_id")""",
    """ALTER TABLE "health_hour" ALTER COLUMN "users" SET STORAGE EXTERNAL""",
    """ALTER TABLE "health_hour" ALTER COLUMN "crashed_users" SET STORAGE EXTERNAL""",
    """ALTER TABLE "health_hour" ALTER COLUMN "durations" SET STORAGE EXTERNAL""",
    """CREATE TABLE "health_project" (
        "project_id" BYTEA NOT NULL PRIMARY KEY,
        "organization_id" BYTEA NOT NULL,
        "last_time" BIGINT NOT NULL,
        "sought_time" BIGINT NOT NULL
    )""",
    """CREATE UNIQUE INDEX "healthproject_last_time_project_id"
        ON "health_project" ("last_time", "project_id")""",
    """CREATE UNIQUE INDEX "healthproject_organization_id_last_time_project_id"
        ON "health_project" ("organization_id", "last_time", "project_id")""",
    """CREATE TABLE "health_series" (
        "id" BYTEA NOT NULL PRIMARY KEY,
        "project_id" BYTEA NOT NULL,
        "version" TEXT COLLATE "C" NOT NULL,
        "environment" TEXT COLLATE "C" NOT NULL,
        "organization_id" BYTEA NOT NULL,
        "release_id" BYTEA,
        "first_time" BIGINT NOT NULL,
        "last_time" BIGINT NOT NULL,
        "days_until" BIGINT NOT NULL
    )""",
    """CREATE UNIQUE INDEX "healthseries_project_id_version_environment"
        ON "health_series" ("project_id", "version", "environment")""",
    """CREATE UNIQUE INDEX "healthseries_project_id_last_time_id"
        ON "health_series" ("project_id", "last_time", "id")""",
    """CREATE UNIQUE INDEX "healthseries_organization_id_version_project_id_environment"
        ON "health_series" ("organization_id", "version", "project_id", "environment")""",
    """CREATE INDEX "health_series_release"
        ON "health_series" ("release_id", "id")
        WHERE ("release_id" IS NOT NULL)""",
    """CREATE INDEX "health_series_hours"
        ON "health_series" ("days_until", "id")
        WHERE ("last_time" >= "days_until")""",
    """CREATE TABLE "installation_secret" (
        "purpose" TEXT COLLATE "C" NOT NULL PRIMARY KEY,
        "value" BYTEA NOT NULL
    )""",
    """CREATE TABLE "job_lease" (
        "id" BIGINT NOT NULL PRIMARY KEY,
        "holder" TEXT COLLATE "C" NOT NULL,
        "fence" BIGINT NOT NULL,
        "expire_time" BIGINT NOT NULL,
        "due_time" BIGINT NOT NULL
    )""",
    """CREATE TABLE "organization" (
        "id" BYTEA NOT NULL PRIMARY KEY,
        "slug" TEXT COLLATE "C" NOT NULL,
        "display_name" TEXT COLLATE "C" NOT NULL,
        "open_membership" BOOLEAN NOT NULL,
        "avatar_type" BIGINT NOT NULL,
        "avatar_content_id" BYTEA,
        "avatar_uid" BYTEA,
        "debug_files_role" TEXT COLLATE "C" NOT NULL,
        "attachments_role" TEXT COLLATE "C" NOT NULL,
        "join_requests" BOOLEAN NOT NULL,
        "early_adopter" BOOLEAN NOT NULL,
        "events_member_admin" BOOLEAN NOT NULL,
        "alerts_member_write" BOOLEAN NOT NULL,
        "quota_stored_bytes" BIGINT,
        "quota_file_count" BIGINT,
        "quota_stream_count" BIGINT,
        "create_time" BIGINT NOT NULL,
        "update_time" BIGINT NOT NULL,
        "delete_time" BIGINT
    )""",
    """CREATE UNIQUE INDEX "organization_slug_index"
        ON "organization" ("slug")""",
    """CREATE INDEX "organization_avatar_content"
        ON "organization" ("avatar_content_id")
        WHERE ("avatar_content_id" IS NOT NULL)""",
    """CREATE TABLE "organization_slug" (
        "slug" TEXT COLLATE "C" NOT NULL PRIMARY KEY,
        "organization_id" BYTEA NOT NULL
    )""",
    """CREATE TABLE "organization_usage" (
        "organization_id" BYTEA NOT NULL,
        "shard" BIGINT NOT NULL,
        "stored_bytes" BIGINT NOT NULL,
        "file_count" BIGINT NOT NULL,
        "is_limited" BOOLEAN NOT NULL,
        PRIMARY KEY ("organization_id", "shard")
    )""",
    """CREATE TABLE "pack" (
        "id" BYTEA NOT NULL PRIMARY KEY,
        "organization_id" BYTEA NOT NULL,
        "size_bytes" BIGINT NOT NULL,
        "state" TEXT COLLATE "C" NOT NULL,
        "create_time" BIGINT NOT NULL,
        "touched_at" BIGINT NOT NULL
    )""",
    """CREATE TABLE "project" (
        "id" BYTEA NOT NULL PRIMARY KEY,
        "organization_id" BYTEA NOT NULL,
        "slug" TEXT COLLATE "C" NOT NULL,
        "display_name" TEXT COLLATE "C" NOT NULL,
        "platform" TEXT COLLATE "C" NOT NULL,
        "manual_releases" BOOLEAN NOT NULL,
        "create_time" BIGINT NOT NULL,
        "update_time" BIGINT NOT NULL
    )""",
    """CREATE UNIQUE INDEX "project_organization_id_slug"
        ON "project" ("organization_id", "slug")""",
    """CREATE TABLE "project_slug" (
        "organization_id" BYTEA NOT NULL,
        "slug" TEXT COLLATE "C" NOT NULL,
        "project_id" BYTEA NOT NULL,
        PRIMARY KEY ("organization_id", "slug")
    )""",
    """CREATE TABLE "release" (
        "id" BYTEA NOT NULL PRIMARY KEY,
        "organization_id" BYTEA NOT NULL,
        "version" TEXT COLLATE "C" NOT NULL,
        "folded_version" TEXT COLLATE "C" NOT NULL,
        "status" BIGINT NOT NULL,
        "ref" TEXT COLLATE "C" NOT NULL,
        "url" TEXT COLLATE "C" NOT NULL,
        "owner" TEXT COLLATE "C" NOT NULL,
        "folded_owner" TEXT COLLATE "C" NOT NULL,
        "user_agent" TEXT COLLATE "C" NOT NULL,
        "release_time" BIGINT,
        "create_time" BIGINT NOT NULL,
        "update_time" BIGINT NOT NULL,
        "delete_time" BIGINT,
        "revision" BIGINT NOT NULL,
        "sort_time" BIGINT NOT NULL,
        "version_key" BYTEA NOT NULL,
        "build_key" BIGINT NOT NULL,
        "package" TEXT COLLATE "C",
        "build_code" TEXT COLLATE "C",
        "project_count" BIGINT NOT NULL,
        "commit_count" BIGINT NOT NULL,
        "author_count" BIGINT NOT NULL,
        "head_count" BIGINT NOT NULL,
        "file_count" BIGINT NOT NULL,
        "label_count" BIGINT NOT NULL,
        "last_commit_id" BYTEA,
        "deploy_count" BIGINT NOT NULL,
        "last_deploy_id" BYTEA
    )""",
    """CREATE UNIQUE INDEX "release_organization_id_version"
        ON "release" ("organization_id", "version")""",
    """CREATE UNIQUE INDEX "release_organization_id_status_id"
        ON "release" ("organization_id", "status", "id")""",
    """CREATE UNIQUE INDEX "release_organization_id_status_sort_time_id"
        ON "release" ("organization_id", "status", "sort_time", "id")""",
    """CREATE UNIQUE INDEX "release_organization_id_status_version_key_id"
        ON "release" ("organization_id", "status", "version_key", "id")""",
    """CREATE UNIQUE INDEX "release_organization_id_status_build_key_id"
        ON "release" ("organization_id", "status", "build_key", "id")""",
    """CREATE UNIQUE INDEX "release_organization_id_status_version_id"
        ON "release" ("organization_id", "status", "version", "id")""",
    """CREATE UNIQUE INDEX "release_organization_id_status_commit_count_id"
        ON "release" ("organization_id", "status", "commit_count", "id")""",
    """CREATE UNIQUE INDEX "release_organization_id_status_deploy_count_id"
        ON "release" ("organization_id", "status", "deploy_count", "id")""",
    """CREATE INDEX "release_package"
        ON "release" ("organization_id", "package", "id")
        WHERE ("package" > '')""",
    """CREATE INDEX "release_build_code"
        ON "release" ("organization_id", "build_code", "id")
        WHERE ("build_code" > '')""",
    """CREATE INDEX "release_ref"
        ON "release" ("organization_id", "ref", "id")
        WHERE ("ref" > '')""",
    """CREATE INDEX "release_folded_owner"
        ON "release" ("organization_id", "folded_owner", "id")
        WHERE ("folded_owner" > '')""",
    """CREATE TABLE "release_author" (
        "release_id" BYTEA NOT NULL,
        "email" TEXT COLLATE "C" NOT NULL,
        "author_id" BYTEA NOT NULL,
        PRIMARY KEY ("release_id", "email")
    )""",
    """CREATE UNIQUE INDEX "releaseauthor_author_id_release_id"
        ON "release_author" ("author_id", "release_id")""",
    """CREATE TABLE "release_commit" (
        "release_id" BYTEA NOT NULL,
        "position" BIGINT NOT NULL,
        "commit_id" BYTEA NOT NULL,
        PRIMARY KEY ("release_id", "position")
    )""",
    """CREATE UNIQUE INDEX "releasecommit_commit_id_release_id"
        ON "release_commit" ("commit_id", "release_id")""",
    """CREATE TABLE "release_environment" (
        "release_id" BYTEA NOT NULL,
        "project_id" BYTEA NOT NULL,
        "environment_id" BYTEA NOT NULL,
        "last_deploy_id" BYTEA,
        "last_finish_time" BIGINT,
        "deploy_count" BIGINT NOT NULL,
        "adopted_time" BIGINT,
        "unadopted_time" BIGINT,
        PRIMARY KEY ("release_id", "project_id", "environment_id")
    )""",
    """CREATE INDEX "releaseenvironment_project_id_environment_id_last_finish_8886ea7"
        ON "release_environment" ("project_id", "environment_id", "last_finish_time", "last_deploy_id")""",
    """CREATE UNIQUE INDEX "releaseenvironment_environment_id_release_id_project_id"
        ON "release_environment" ("environment_id", "release_id", "project_id")""",
    """CREATE INDEX "release_environment_adopted"
        ON "release_environment" ("project_id", "environment_id", "adopted_time", "release_id")
        WHERE ("adopted_time" IS NOT NULL)""",
    """CREATE INDEX "release_environment_adopted_now"
        ON "release_environment" ("project_id", "environment_id", "release_id")
        WHERE (("adopted_time" IS NOT NULL) AND ("unadopted_time" IS NULL))""",
    """CREATE TABLE "release_file" (
        "id" BYTEA NOT NULL PRIMARY KEY,
        "organization_id" BYTEA NOT NULL,
        "release_id" BYTEA NOT NULL,
        "file_name" TEXT COLLATE "C" NOT NULL,
        "project_id" BYTEA NOT NULL,
        "dist" TEXT COLLATE "C" NOT NULL,
        "headers" TEXT COLLATE "C" NOT NULL,
        "content_id" BYTEA NOT NULL,
        "kind" BIGINT NOT NULL,
        "folded_name" TEXT COLLATE "C" NOT NULL,
        "create_time" BIGINT NOT NULL
    )""",
    """CREATE UNIQUE INDEX "releasefile_release_id_file_name_project_id_dist"
        ON "release_file" ("release_id", "file_name", "project_id", "dist")""",
    """CREATE UNIQUE INDEX "releasefile_release_id_file_name_id"
        ON "release_file" ("release_id", "file_name", "id")""",
    """CREATE INDEX "releasefile_release_id_folded_name_file_name"
        ON "release_file" ("release_id", "folded_name", "file_name")""",
    """CREATE INDEX "releasefile_content_id_release_id"
        ON "release_file" ("content_id", "release_id")""",
    """CREATE TABLE "release_head" (
        "release_id" BYTEA NOT NULL,
        "repository_id" BYTEA NOT NULL,
        "commit_id" BYTEA NOT NULL,
        "from_ref" BOOLEAN NOT NULL,
        "previous_key" TEXT COLLATE "C",
        PRIMARY KEY ("release_id", "repository_id")
    )""",
    """CREATE UNIQUE INDEX "releasehead_repository_id_release_id"
        ON "release_head" ("repository_id", "release_id")""",
    """CREATE TABLE "release_label" (
        "release_id" BYTEA NOT NULL,
        "key" TEXT COLLATE "C" NOT NULL,
        "value" TEXT COLLATE "C" NOT NULL,
        "organization_id" BYTEA NOT NULL,
        PRIMARY KEY ("release_id", "key")
    )""",
    """CREATE UNIQUE INDEX "releaselabel_organization_id_key_value_release_id"
        ON "release_label" ("organization_id", "key", "value", "release_id")""",
    """CREATE TABLE "release_project" (
        "project_id" BYTEA NOT NULL,
        "release_id" BYTEA NOT NULL,
        "organization_id" BYTEA NOT NULL,
        "status" BIGINT NOT NULL,
        "sort_time" BIGINT NOT NULL,
        "version_key" BYTEA NOT NULL,
        "build_key" BIGINT NOT NULL,
        "version" TEXT COLLATE "C" NOT NULL,
        "commit_count" BIGINT NOT NULL,
        "deploy_count" BIGINT NOT NULL,
        PRIMARY KEY ("project_id", "release_id")
    )""",
    """CREATE UNIQUE INDEX "releaseproject_release_id_project_id"
        ON "release_project" ("release_id", "project_id")""",
    """CREATE UNIQUE INDEX "releaseproject_project_id_status_release_id"
        ON "release_project" ("project_id", "status", "release_id")""",
    """CREATE UNIQUE INDEX "releaseproject_project_id_status_sort_time_release_id"
        ON "release_project" ("project_id", "status", "sort_time", "release_id")""",
    """CREATE UNIQUE INDEX "releaseproject_project_id_status_version_key_release_id"
        ON "release_project" ("project_id", "status", "version_key", "release_id")""",
    """CREATE UNIQUE INDEX "releaseproject_project_id_status_build_key_release_id"
        ON "release_project" ("project_id", "status", "build_key", "release_id")""",
    """CREATE UNIQUE INDEX "releaseproject_project_id_status_version_release_id"
        ON "release_project" ("project_id", "status", "version", "release_id")""",
    """CREATE UNIQUE INDEX "releaseproject_project_id_status_commit_count_release_id"
        ON "release_project" ("project_id", "status", "commit_count", "release_id")""",
    """CREATE UNIQUE INDEX "releaseproject_project_id_status_deploy_count_release_id"
        ON "release_project" ("project_id", "status", "deploy_count", "release_id")""",
    """CREATE INDEX "release_project_with_commits"
        ON "release_project" ("project_id", "sort_time", "release_id")
        WHERE ("commit_count" > 0)""",
    """CREATE TABLE "release_reference" (
        "release_id" BYTEA NOT NULL,
        "reference" TEXT COLLATE "C" NOT NULL,
        "commit_id" BYTEA NOT NULL,
        "organization_id" BYTEA NOT NULL,
        "folded_reference" TEXT COLLATE "C" NOT NULL,
        PRIMARY KEY ("release_id", "reference", "commit_id")
    )""",
    """CREATE INDEX "releasereference_commit_id_release_id_reference"
        ON "release_reference" ("commit_id", "release_id", "reference")""",
    """CREATE INDEX "releasereference_organization_id_folded_reference_release_id"
        ON "release_reference" ("organization_id", "folded_reference", "release_id")""",
    """CREATE TABLE "repository" (
        "id" BYTEA NOT NULL PRIMARY KEY,
        "organization_id" BYTEA NOT NULL,
        "display_name" TEXT COLLATE "C" NOT NULL,
        "active_name" TEXT COLLATE "C",
        "url" TEXT COLLATE "C" NOT NULL,
        "provider" TEXT COLLATE "C" NOT NULL,
        "external_id" TEXT COLLATE "C",
        "state" BIGINT NOT NULL,
        "create_time" BIGINT NOT NULL,
        "update_time" BIGINT NOT NULL
    )""",
    """CREATE UNIQUE INDEX "repository_organization_id_active_name"
        ON "repository" ("organization_id", "active_name")""",
    """CREATE UNIQUE INDEX "repository_organization_id_provider_external_id"
        ON "repository" ("organization_id", "provider", "external_id")""",
    """CREATE UNIQUE INDEX "repository_organization_id_display_name_id"
        ON "repository" ("organization_id", "display_name", "id")""",
    """CREATE TABLE "session" (
        "project_id" BYTEA NOT NULL,
        "session_id" BYTEA NOT NULL,
        "series_id" BYTEA NOT NULL,
        "hour" BIGINT NOT NULL,
        "sequence" BIGINT NOT NULL,
        "status" BIGINT NOT NULL,
        "error_count" BIGINT NOT NULL,
        "timed" BIGINT NOT NULL,
        PRIMARY KEY ("project_id", "session_id")
    )""",
    """CREATE UNIQUE INDEX "session_hour_project_id_session_id"
        ON "session" ("hour", "project_id", "session_id")""",
    """CREATE TABLE "threshold" (
        "id" BYTEA NOT NULL PRIMARY KEY,
        "organization_id" BYTEA NOT NULL,
        "project_id" BYTEA NOT NULL,
        "environment" TEXT COLLATE "C",
        "metric" BIGINT NOT NULL,
        "trigger" BIGINT NOT NULL,
        "value_thousandths" BIGINT NOT NULL,
        "window_seconds" BIGINT NOT NULL,
        "create_time" BIGINT NOT NULL,
        "update_time" BIGINT NOT NULL
    )""",
    """CREATE UNIQUE INDEX "threshold_project_id_id"
        ON "threshold" ("project_id", "id")""",
    """CREATE UNIQUE INDEX "threshold_organization_id_id"
        ON "threshold" ("organization_id", "id")""",
    """CREATE TABLE "token" (
        "id" BYTEA NOT NULL PRIMARY KEY,
        "organization_id" BYTEA,
        "display_name" TEXT COLLATE "C" NOT NULL,
        "secret_sha256" BYTEA NOT NULL,
        "secret_suffix" TEXT COLLATE "C" NOT NULL,
        "old_secret_sha256" BYTEA,
        "old_secret_expire_time" BIGINT,
        "scopes" TEXT COLLATE "C" NOT NULL,
        "all_projects" BOOLEAN NOT NULL,
        "create_time" BIGINT NOT NULL,
        "expire_time" BIGINT,
        "revoke_time" BIGINT
    )""",
    """CREATE UNIQUE INDEX "token_secret_sha256"
        ON "token" ("secret_sha256")""",
    """CREATE UNIQUE INDEX "token_old_secret_sha256"
        ON "token" ("old_secret_sha256")""",
    """CREATE UNIQUE INDEX "token_organization_id_id"
        ON "token" ("organization_id", "id")""",
    """CREATE TABLE "token_project" (
        "token_id" BYTEA NOT NULL,
        "project_id" BYTEA NOT NULL,
        PRIMARY KEY ("token_id", "project_id")
    )""",
    """CREATE TABLE "upload" (
        "organization_id" BYTEA NOT NULL,
        "id" BYTEA NOT NULL,
        "header_sha256" BYTEA NOT NULL,
        "header" TEXT COLLATE "C" NOT NULL,
        "release_id" BYTEA NOT NULL,
        "state" TEXT COLLATE "C" NOT NULL,
        "fence" BIGINT NOT NULL,
        "committed_bytes" BIGINT NOT NULL,
        "file_id" BYTEA,
        "created" BOOLEAN NOT NULL,
        "create_time" BIGINT NOT NULL,
        "expire_time" BIGINT NOT NULL,
        PRIMARY KEY ("organization_id", "id")
    )""",
    """CREATE INDEX "upload_expire_time"
        ON "upload" ("expire_time")""",
    """CREATE TABLE "upload_chunk" (
        "organization_id" BYTEA NOT NULL,
        "upload_id" BYTEA NOT NULL,
        "start_offset" BIGINT NOT NULL,
        "chunk_sha256" BYTEA NOT NULL,
        "size_bytes" BIGINT NOT NULL,
        PRIMARY KEY ("organization_id", "upload_id", "start_offset")
    )""",
    """CREATE INDEX "uploadchunk_organization_id_chunk_sha256"
        ON "upload_chunk" ("organization_id", "chunk_sha256")""",
]


def up(_migrator: Any, db: Any) -> None:
    """Create the tables, in the order of their references."""
    for statement in SQLITE if isinstance(db, SqliteDatabase) else POSTGRESQL:
        db.execute_sql(statement)
