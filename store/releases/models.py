"""Rows of releases, and the denormalised (release, project) rows that lists read."""

from peewee import CompositeKey, Model

from store.database.fields import BytesField, CountField, IdField, TextField, TimeField


class Release(Model):
    """version is unique in its organization. A deleted release keeps its row, with delete_time and a version that no
    caller can write (a line feed and the id behind it), until the drain has removed all that hangs on it.

    id is made of create_time (`store.database.id_at`): releases ordered by id are ordered by age. sort_time is
    release_time, else create_time; build_key is the build number, and -1 without one; folded_version and folded_owner
    are as `store.text.folded` makes them."""

    id = IdField(primary_key=True)
    organization_id = IdField()
    version = TextField()
    folded_version = TextField()
    status = CountField()
    ref = TextField()
    url = TextField()
    owner = TextField()
    folded_owner = TextField()
    user_agent = TextField()
    release_time = TimeField(null=True)
    create_time = TimeField()
    update_time = TimeField()
    delete_time = TimeField(null=True)
    revision = CountField()
    sort_time = TimeField()
    version_key = BytesField()
    build_key = CountField()
    package = TextField(null=True)
    build_code = TextField(null=True)
    project_count = CountField()
    commit_count = CountField()
    author_count = CountField()
    head_count = CountField()
    file_count = CountField()
    label_count = CountField()
    last_commit_id = IdField(null=True)
    deploy_count = CountField()
    last_deploy_id = IdField(null=True)

    class Meta:
        table_name = "release"
        # The second one and those behind it are the orders of lists; an index of its own for each, so that a page
        # costs the same wherever it lies.
        indexes = (
            (("organization_id", "version"), True),
            (("organization_id", "status", "id"), True),
            (("organization_id", "status", "sort_time", "id"), True),
            (("organization_id", "status", "version_key", "id"), True),
            (("organization_id", "status", "build_key", "id"), True),
            (("organization_id", "status", "version", "id"), True),
            (("organization_id", "status", "commit_count", "id"), True),
            (("organization_id", "status", "deploy_count", "id"), True),
        )


# What searches find releases by; most releases have none of it, or not what is sought.
for _column in (Release.package, Release.build_code, Release.ref, Release.folded_owner):
    Release.add_index(Release.organization_id, _column, Release.id, name=f"release_{_column.name}", where=_column > "")


class ReleaseProject(Model):
    """A release in one of its projects, with a copy of every column that a list sorts by: only so does a page cost the
    same in a sparse project as in a dense one. The columns are called and meant as in `Release`."""

    project_id = IdField()
    release_id = IdField()
    organization_id = IdField()
    status = CountField()
    sort_time = TimeField()
    version_key = BytesField()
    build_key = CountField()
    version = TextField()
    commit_count = CountField()
    deploy_count = CountField()

    class Meta:
        table_name = "release_project"
        primary_key = CompositeKey("project_id", "release_id")
        without_rowid = True
        indexes = (
            (("release_id", "project_id"), True),
            (("project_id", "status", "release_id"), True),
            (("project_id", "status", "sort_time", "release_id"), True),
            (("project_id", "status", "version_key", "release_id"), True),
            (("project_id", "status", "build_key", "release_id"), True),
            (("project_id", "status", "version", "release_id"), True),
            (("project_id", "status", "commit_count", "release_id"), True),
            (("project_id", "status", "deploy_count", "release_id"), True),
        )


# The previous release with commits is looked for among those that have some: a project may have a million without.
ReleaseProject.add_index(
    ReleaseProject.project_id,
    ReleaseProject.sort_time,
    ReleaseProject.release_id,
    name="release_project_with_commits",
    where=ReleaseProject.commit_count > 0,
)


class ReleaseLabel(Model):
    """A label of a release; a release has at most one value of each key."""

    release_id = IdField()
    key = TextField()
    value = TextField()
    organization_id = IdField()

    class Meta:
        table_name = "release_label"
        primary_key = CompositeKey("release_id", "key")
        without_rowid = True
        indexes = ((("organization_id", "key", "value", "release_id"), True),)


class DrainingRelease(Model):
    """A deleted release whose rows wait for the drain."""

    release_id = IdField(primary_key=True)
    delete_time = TimeField()

    class Meta:
        table_name = "draining_release"
