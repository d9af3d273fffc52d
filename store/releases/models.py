"""Rows of releases, and the denormalised (release, project) rows that lists read."""

from peewee import CompositeKey, Model

from store.database.fields import BytesField, CountField, IdField, TextField, TimeField


class Release(Model):
    """version is unique in its organization. A deleted release keeps its row, with delete_time and a version that no
    caller can write (a line feed and the id behind it), until the drain has removed all that hangs on it."""

    id = IdField(primary_key=True)
    organization_id = IdField()
    version = TextField()
    status = CountField()
    ref = TextField()
    url = TextField()
    owner = TextField()
    user_agent = TextField()
    release_time = TimeField(null=True)
    create_time = TimeField()
    update_time = TimeField()
    delete_time = TimeField(null=True)
    revision = CountField()
    package = TextField(null=True)
    major = CountField(null=True)
    minor = CountField(null=True)
    patch = CountField(null=True)
    fourth = CountField(null=True)
    prerelease = TextField(null=True)
    build_code = TextField(null=True)
    build_number = CountField(null=True)
    version_key = BytesField()
    project_count = CountField()
    commit_count = CountField()
    author_count = CountField()
    head_count = CountField()
    file_count = CountField()
    last_commit_id = IdField(null=True)
    deploy_count = CountField()
    last_deploy_id = IdField(null=True)

    class Meta:
        table_name = "release"
        indexes = (
            (("organization_id", "version"), True),
            (("organization_id", "status", "create_time", "id"), True),
        )


class ReleaseProject(Model):
    """A release in one of its projects, with a copy of every column that a list sorts or filters by: only so does a
    page cost the same in a sparse project as in a dense one. sort_time is release_time, else create_time."""

    project_id = IdField()
    release_id = IdField()
    organization_id = IdField()
    status = CountField()
    create_time = TimeField()
    sort_time = TimeField()
    package = TextField(null=True)
    build_number = CountField(null=True)
    version_key = BytesField()
    commit_count = CountField()
    deploy_count = CountField()

    class Meta:
        table_name = "release_project"
        primary_key = CompositeKey("project_id", "release_id")
        indexes = (
            (("release_id", "project_id"), True),
            (("project_id", "status", "create_time", "release_id"), True),
            (("project_id", "sort_time", "release_id"), True),
        )


# The previous release with commits is looked for among those that have some: a project may have a million without.
ReleaseProject.add_index(
    ReleaseProject.project_id,
    ReleaseProject.sort_time,
    ReleaseProject.release_id,
    name="release_project_with_commits",
    where=ReleaseProject.commit_count > 0,
)


class DrainingRelease(Model):
    """A deleted release whose rows wait for the drain."""

    release_id = IdField(primary_key=True)
    delete_time = TimeField()

    class Meta:
        table_name = "draining_release"
