"""All models of the store: what the migrations must add up to."""

from __future__ import annotations

from peewee import Model

from store.access.models import InstallationSecret, Token, TokenProject
from store.activity.models import Activity
from store.blobs.models import Chunk, Content, ContentChunk, Pack
from store.commits.models import (
    Commit,
    CommitAuthor,
    CommitFile,
    CommitReference,
    ReleaseAuthor,
    ReleaseCommit,
    ReleaseHead,
    ReleaseReference,
)
from store.database.replays import AnsweredRequest
from store.deploys.models import Deploy, DeployProject, Environment, EnvironmentProject, ReleaseEnvironment
from store.files.models import ReleaseFile
from store.health.models import (
    CountedSessions,
    HealthDay,
    HealthHour,
    HealthProject,
    HealthSeries,
    Session,
    Threshold,
)
from store.leases import JobLease
from store.organizations.models import DrainingProject, Organization, OrganizationSlug, Project, ProjectSlug, Repository
from store.quotas.models import OrganizationUsage
from store.releases.models import DrainingRelease, Release, ReleaseLabel, ReleaseProject
from store.uploads.models import Upload, UploadChunk

MODELS: list[type[Model]] = [
    AnsweredRequest,
    InstallationSecret,
    Organization,
    OrganizationSlug,
    OrganizationUsage,
    Project,
    ProjectSlug,
    DrainingProject,
    Repository,
    Token,
    TokenProject,
    Release,
    ReleaseProject,
    ReleaseLabel,
    DrainingRelease,
    CommitAuthor,
    Commit,
    CommitFile,
    ReleaseCommit,
    ReleaseHead,
    ReleaseAuthor,
    CommitReference,
    ReleaseReference,
    Environment,
    EnvironmentProject,
    Deploy,
    DeployProject,
    ReleaseEnvironment,
    Pack,
    Chunk,
    Content,
    ContentChunk,
    JobLease,
    ReleaseFile,
    Upload,
    UploadChunk,
    Activity,
    HealthProject,
    HealthSeries,
    HealthHour,
    HealthDay,
    Session,
    CountedSessions,
    Threshold,
]
