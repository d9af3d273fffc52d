"""Rows of environments and deploys, and the denormalised rows that lists and "what runs there" read."""

from peewee import CompositeKey, Model

from store.database.fields import CountField, IdField, TextField, TimeField


class Environment(Model):
    id = IdField(primary_key=True)
    organization_id = IdField()
    display_name = TextField()
    create_time = TimeField()

    class Meta:
        table_name = "environment"
        indexes = ((("organization_id", "display_name"), True),)


class EnvironmentProject(Model):
    """A project that was deployed to an environment, with a copy of the environment's name, which never changes: lists
    are sorted by it."""

    project_id = IdField()
    display_name = TextField()
    environment_id = IdField()

    class Meta:
        table_name = "environment_project"
        primary_key = CompositeKey("project_id", "display_name")
        without_rowid = True
        indexes = ((("environment_id", "project_id"), True),)


class Deploy(Model):
    id = IdField(primary_key=True)
    organization_id = IdField()
    release_id = IdField()
    environment_id = IdField()
    display_name = TextField()
    url = TextField()
    start_time = TimeField(null=True)
    finish_time = TimeField()
    create_time = TimeField()

    class Meta:
        table_name = "deploy"
        indexes = (
            (("release_id", "finish_time", "id"), True),
            (("organization_id", "finish_time", "id"), True),
            (("environment_id", "finish_time", "id"), True),
        )


class DeployProject(Model):
    """A deploy of one project, with a copy of what it is found by: of a project in an environment the newest one says
    which release runs there."""

    project_id = IdField()
    environment_id = IdField()
    finish_time = TimeField()
    deploy_id = IdField()
    release_id = IdField()

    class Meta:
        table_name = "deploy_project"
        primary_key = CompositeKey("project_id", "environment_id", "finish_time", "deploy_id")
        without_rowid = True
        indexes = (
            (("project_id", "finish_time", "deploy_id"), True),
            (("deploy_id", "project_id"), True),
            (("release_id", "project_id", "deploy_id"), True),
        )


class ReleaseEnvironment(Model):
    """A release of a project in an environment, to which it was deployed, or where it had sessions: its newest deploy
    there, NULL without any, and how many there were; since when it is adopted there by its users, and since when it is
    not any more (behaviour.md, Adoption)."""

    release_id = IdField()
    project_id = IdField()
    environment_id = IdField()
    last_deploy_id = IdField(null=True)
    last_finish_time = TimeField(null=True)
    deploy_count = CountField()
    adopted_time = TimeField(null=True)
    unadopted_time = TimeField(null=True)

    class Meta:
        table_name = "release_environment"
        primary_key = CompositeKey("release_id", "project_id", "environment_id")
        without_rowid = True
        indexes = (
            (("project_id", "environment_id", "last_finish_time", "last_deploy_id"), False),
            (("environment_id", "release_id", "project_id"), True),
        )


# What adoption sorts by.
ReleaseEnvironment.add_index(
    ReleaseEnvironment.project_id,
    ReleaseEnvironment.environment_id,
    ReleaseEnvironment.adopted_time,
    ReleaseEnvironment.release_id,
    name="release_environment_adopted",
    where=ReleaseEnvironment.adopted_time.is_null(False),
)
# What is adopted now: what a run of adoption looks through for what was replaced.
ReleaseEnvironment.add_index(
    ReleaseEnvironment.project_id,
    ReleaseEnvironment.environment_id,
    ReleaseEnvironment.release_id,
    name="release_environment_adopted_now",
    where=ReleaseEnvironment.adopted_time.is_null(False) & ReleaseEnvironment.unadopted_time.is_null(),
)
