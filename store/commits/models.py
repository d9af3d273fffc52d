"""Rows of commits, their authors and changed files, and their places in releases."""

from peewee import CompositeKey, Model

from store.database.fields import CountField, IdField, TextField, TimeField


class CommitAuthor(Model):
    id = IdField(primary_key=True)
    organization_id = IdField()
    email = TextField()
    display_name = TextField(null=True)

    class Meta:
        table_name = "commit_author"
        indexes = ((("organization_id", "email"), True),)


class Commit(Model):
    """key is the repository's own id of the commit; author_name is as this commit says it: an author has had others."""

    id = IdField(primary_key=True)
    organization_id = IdField()
    repository_id = IdField()
    key = TextField()
    author_id = IdField(null=True)
    author_name = TextField(null=True)
    message = TextField(null=True)
    commit_time = TimeField(null=True)
    changed_file_count = CountField()

    class Meta:
        table_name = "commit"
        indexes = ((("repository_id", "key"), True),)


class CommitFile(Model):
    commit_id = IdField()
    path = TextField()
    change_type = CountField()

    class Meta:
        table_name = "commit_file"
        primary_key = CompositeKey("commit_id", "path")
        without_rowid = True


class ReleaseCommit(Model):
    """position 0 is the newest commit."""

    release_id = IdField()
    position = CountField()
    commit_id = IdField()

    class Meta:
        table_name = "release_commit"
        primary_key = CompositeKey("release_id", "position")
        without_rowid = True
        indexes = ((("commit_id", "release_id"), True),)


class ReleaseHead(Model):
    """The newest commit of one repository in a release."""

    release_id = IdField()
    repository_id = IdField()
    commit_id = IdField()

    class Meta:
        table_name = "release_head"
        primary_key = CompositeKey("release_id", "repository_id")
        without_rowid = True


class ReleaseAuthor(Model):
    """An author of a release's commits, by the e-mail that authors are listed by; an author's e-mail never changes.

    Kept, because GetRelease shows the authors: finding them among 10,000 commits costs a hundred times the rest of
    the answer.
    """

    release_id = IdField()
    email = TextField()
    author_id = IdField()

    class Meta:
        table_name = "release_author"
        primary_key = CompositeKey("release_id", "email")
        without_rowid = True
