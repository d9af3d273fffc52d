package com.example.registry;

import com.google.protobuf.Timestamp;
import dev.releaseregistry.v1.ChangeType;
import dev.releaseregistry.v1.ChangedFile;
import dev.releaseregistry.v1.Commit;
import dev.releaseregistry.v1.CreateReleaseRequest;
import dev.releaseregistry.v1.DownloadReleaseFileRequest;
import dev.releaseregistry.v1.ListReleasesRequest;
import dev.releaseregistry.v1.ListReleasesResponse;
import dev.releaseregistry.v1.Release;
import dev.releaseregistry.v1.ReleaseFile;
import dev.releaseregistry.v1.ReleaseSort;
import dev.releaseregistry.v1.SetCommitsRequest;
import io.grpc.StatusException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.UUID;

/**
 * A client of the release registry in Java: it makes a release, tells its commits, uploads a file, loses the connection
 * on purpose and goes on where the server was, finds the release again, and reads the file back.
 *
 * <pre>REGISTRY_TOKEN=... java -jar target/registry-client.jar app@1.0.0 path/to/file</pre>
 */
public final class PublishRelease {
  private static final int COMMITS = 250;
  private static final int BATCH = 100;

  private final Client client;

  private PublishRelease(Client client) {
    this.client = client;
  }

  public static void main(String[] arguments) throws Exception {
    if (arguments.length != 2) {
      System.err.println("usage: registry-client VERSION FILE");
      System.exit(2);
    }
    try (Client client = Client.connect(System.getenv())) {
      new PublishRelease(client).run(arguments[0], Files.readAllBytes(Path.of(arguments[1])));
    } catch (StatusException error) {
      System.err.println("failed: " + Failure.of(error));
      System.exit(1);
    }
  }

  private void run(String version, byte[] content) throws Exception {
    String release = createRelease(version);
    setCommits(release);
    ReleaseFile file = new Upload(client, release, content).send();
    find();
    try {
      // A version may not begin with a space: the server says which field is wrong, and why.
      createRelease(" " + version);
    } catch (StatusException error) {
      System.out.println("refused: " + Failure.of(error));
    }
    readBack(file);
  }

  /** Safe to repeat, and the service config has grpc do it: the request_id says that it is the same call. */
  private String createRelease(String version) throws StatusException {
    var answer =
        client
            .releases()
            .createRelease(
                CreateReleaseRequest.newBuilder()
                    .setParent(client.organization())
                    .setRelease(Release.newBuilder().setVersion(version).addProjects(client.project()))
                    .setRequestId(UUID.randomUUID().toString())
                    .build());
    String outcome = answer.getOutcome().name().replace("CREATE_RELEASE_OUTCOME_", "");
    System.out.println("release: " + answer.getRelease().getName() + " " + outcome);
    return answer.getRelease().getName();
  }

  /** Streams any number of commits. Only the finish carries them out, all or none; so it can be said again. */
  private void setCommits(String release) throws Exception {
    var answer =
        Failure.patiently(
            () -> {
              var call = client.releases().setCommits();
              boolean open = true;
              for (int start = 0; open && start < COMMITS; start += BATCH) {
                var request = SetCommitsRequest.newBuilder().setName(release);
                for (int number = start; number < Math.min(start + BATCH, COMMITS); number++) {
                  request.addCommits(commit(number));
                }
                open = Client.write(call, request.build());
              }
              if (open) {
                Client.write(call, SetCommitsRequest.newBuilder().setFinish(true).setCommitCount(COMMITS).build());
              }
              return Client.answer(call);
            });
    var made = answer.getRelease();
    System.out.println("commits: " + made.getCommitCount() + ", the newest is " + made.getLastCommit().getId());
  }

  private static Commit commit(int number) {
    return Commit.newBuilder()
        .setId(String.format("%040x", number + 1))
        .setRepository("acme/web")
        .setAuthorName("Ada")
        .setAuthorEmail("ada@example.com")
        .setMessage("Change " + (number + 1))
        .setCommitTime(Timestamp.newBuilder().setSeconds(1_700_000_000L + number * 60L))
        .addChangedFiles(
            ChangedFile.newBuilder()
                .setPath("src/" + (number + 1) + ".java")
                .setChangeType(ChangeType.CHANGE_TYPE_MODIFIED))
        .build();
  }

  /** Reads a list page by page. */
  private void find() throws StatusException {
    List<String> versions = new ArrayList<>();
    int pages = 0;
    String token = "";
    do {
      ListReleasesResponse page =
          client
              .releases()
              .listReleases(
                  ListReleasesRequest.newBuilder()
                      .setParent(client.organization())
                      .setQuery("release.version:>=1.0 !has:deployed")
                      .setSort(ReleaseSort.RELEASE_SORT_VERSION)
                      .setPageSize(2)
                      .setPageToken(token)
                      .build());
      page.getReleasesList().forEach(release -> versions.add(release.getVersion()));
      pages++;
      token = page.getNextPageToken();
    } while (!token.isEmpty());
    System.out.println("found: " + String.join(", ", versions) + " on " + pages + " pages");
  }

  /** Downloads the file: a header, then its bytes. What ends OK is right to the last byte. */
  private void readBack(ReleaseFile file) throws Exception {
    var call =
        client
            .releases()
            .downloadReleaseFile(DownloadReleaseFileRequest.newBuilder().setName(file.getName()).build());
    MessageDigest digest = MessageDigest.getInstance("SHA-256");
    long size = 0;
    for (var message = call.read(); message != null; message = call.read()) {
      digest.update(message.getData().asReadOnlyByteBuffer());
      size += message.getData().size();
    }
    String sha256 = HexFormat.of().formatHex(digest.digest());
    System.out.println("read back: " + size + " bytes with SHA-256 " + sha256);
  }
}
