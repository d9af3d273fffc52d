"""Rows of organizations, projects and repositories.

A slug, once used, belongs to its owner for ever: the slug tables hold current and former slugs alike, and resolving a
name looks only there.
"""

from peewee import CompositeKey, Model

from store.database.fields import CountField, FlagField, IdField, TextField, TimeField


class Organization(Model):
    """avatar_type is an AvatarType, avatar_content_id the content that holds the uploaded picture, avatar_uid what
    tells it from earlier ones. A quota that is NULL is as the settings say. An organization with a delete_time is gone
    for everybody; its row stays until the drain has removed all that is its own, and its slugs stay for ever."""

    id = IdField(primary_key=True)
    slug = TextField()
    display_name = TextField()
    open_membership = FlagField()
    avatar_type = CountField()
    avatar_content_id = IdField(null=True)
    avatar_uid = IdField(null=True)
    debug_files_role = TextField()
    attachments_role = TextField()
    join_requests = FlagField()
    early_adopter = FlagField()
    events_member_admin = FlagField()
    alerts_member_write = FlagField()
    quota_stored_bytes = CountField(null=True)
    quota_file_count = CountField(null=True)
    quota_stream_count = CountField(null=True)
    create_time = TimeField()
    update_time = TimeField()
    delete_time = TimeField(null=True)

    class Meta:
        table_name = "organization"


# Named by hand: Peewee's name for it is that of the table below.
Organization.add_index(Organization.index(Organization.slug, unique=True, name="organization_slug_index"))
# Asked by the collector of contents, for each that it is about to remove.
Organization.add_index(
    Organization.avatar_content_id,
    name="organization_avatar_content",
    where=Organization.avatar_content_id.is_null(False),
)


class OrganizationSlug(Model):
    slug = TextField(primary_key=True)
    organization_id = IdField()

    class Meta:
        table_name = "organization_slug"


class Project(Model):
    id = IdField(primary_key=True)
    organization_id = IdField()
    slug = TextField()
    display_name = TextField()
    platform = TextField()
    manual_releases = FlagField()
    create_time = TimeField()
    update_time = TimeField()

    class Meta:
        table_name = "project"
        indexes = ((("organization_id", "slug"), True),)


class DrainingProject(Model):
    """A deleted project whose places in releases wait for the drain. Its own row is gone, its slugs stay."""

    project_id = IdField(primary_key=True)
    organization_id = IdField()
    delete_time = TimeField()

    class Meta:
        table_name = "draining_project"


class ProjectSlug(Model):
    organization_id = IdField()
    slug = TextField()
    project_id = IdField()

    class Meta:
        table_name = "project_slug"
        primary_key = CompositeKey("organization_id", "slug")


class Repository(Model):
    """active_name is the display name while the repository is active and NULL when it is not, so that a plain unique
    index keeps the names of active ones apart on both databases."""

    id = IdField(primary_key=True)
    organization_id = IdField()
    display_name = TextField()
    active_name = TextField(null=True)
    url = TextField()
    provider = TextField()
    external_id = TextField(null=True)
    state = CountField()
    create_time = TimeField()
    update_time = TimeField()

    class Meta:
        table_name = "repository"
        indexes = (
            (("organization_id", "active_name"), True),
            (("organization_id", "provider", "external_id"), True),
            (("organization_id", "display_name", "id"), True),
        )
