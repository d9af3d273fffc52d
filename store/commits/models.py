"""Rows of commits, their authors and changed files, and their places in releases."""

from peewee import CompositeKey, Model

from store.database.fields import CountField, FlagField, IdField, TextField, TimeField


class CommitAuthor(Model):
    """folded_email and folded_name (of a display name that is not there: "") are as `store.text.folded` makes them."""

    id = IdField(primary_key=True)
    organization_id = IdField()
    email = TextField()
    display_name = TextField(null=True)
    folded_email = TextField()
    folded_name = TextField()

    class Meta:
        table_name = "commit_author"
        indexes = (
            (("organization_id", "email"), True),
            (("organization_id", "folded_email", "id"), True),
            (("organization_id", "folded_name", "id"), True),
        )


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
        indexes = (
            (("repository_id", "key"), True),
            (("organization_id", "key"), False),
        )


class CommitFile(Model):
    commit_id = IdField()
    path = TextField()
    change_type = CountField()

    class Meta:
        table_name = "commit_file"
        primary_key = CompositeKey("commit_id", "path")
        without_rowid = True


class ReleaseCommit(Model):
    """The newest commit has the lowest position, each next one the next higher; see `store.commits.positions`."""

    release_id = IdField()
    position = CountField()
    commit_id = IdField()

    class Meta:
        table_name = "release_commit"
        primary_key = CompositeKey("release_id", "position")
        without_rowid = True
        indexes = ((("commit_id", "release_id"), True),)


class CommitReference(Model):
    """An issue that a commit's message says it fixes; position 0 is the first in the message."""

    commit_id = IdField()
    position = CountField()
    reference = TextField()
    folded_reference = TextField()

    class Meta:
        table_name = "commit_reference"
        primary_key = CompositeKey("commit_id", "position")
        without_rowid = True


class ReleaseReference(Model):
    """An issue that a commit of a release says it fixes: a copy of the commit's row for each release that holds it.

    A row may outlive the commit's place in the release for a moment, where another call changed the message meanwhile:
    readers join `ReleaseCommit`.
    """

    release_id = IdField()
    reference = TextField()
    commit_id = IdField()
    organization_id = IdField()
    folded_reference = TextField()

    class Meta:
        table_name = "release_reference"
        primary_key = CompositeKey("release_id", "reference", "commit_id")
        without_rowid = True
        indexes = (
            (("commit_id", "release_id", "reference"), False),
            (("organization_id", "folded_reference", "release_id"), False),
        )


class ReleaseHead(Model):
    """The newest commit of one repository in a release. One that a ref named stays where it is while commits are set;
    previous_key is the commit at which the ref's range begins."""

    release_id = IdField()
    repository_id = IdField()
    commit_id = IdField()
    from_ref = FlagField()
    previous_key = TextField(null=True)

    class Meta:
        table_name = "release_head"
        primary_key = CompositeKey("release_id", "repository_id")
        without_rowid = True
        indexes = ((("repository_id", "release_id"), True),)


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
        indexes = ((("author_id", "release_id"), True),)
