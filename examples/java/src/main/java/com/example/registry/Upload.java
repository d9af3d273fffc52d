package com.example.registry;

import com.google.protobuf.ByteString;
import dev.releaseregistry.v1.GetUploadRequest;
import dev.releaseregistry.v1.ReleaseFile;
import dev.releaseregistry.v1.StartUploadRequest;
import dev.releaseregistry.v1.UploadData;
import dev.releaseregistry.v1.UploadFinish;
import dev.releaseregistry.v1.UploadHeader;
import dev.releaseregistry.v1.UploadReleaseFileRequest;
import dev.releaseregistry.v1.UploadReleaseFileResponse;
import io.grpc.StatusException;
import io.grpc.stub.BlockingClientCall;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.UUID;

/** Sends a file and survives cuts: the id, chosen here, names the upload wherever it goes on. */
final class Upload {
  private static final int FRAME_BYTES = 256 * 1024;
  private static final int BLOCK_BYTES = 2 * 1024 * 1024;

  private final Client client;
  private final byte[] content;
  private final UploadHeader header;
  private final String name;

  Upload(Client client, String release, byte[] content) throws Exception {
    this.client = client;
    this.content = content;
    this.header =
        UploadHeader.newBuilder()
            .setUploadId(UUID.randomUUID().toString())
            .setParent(release)
            .setFileName("dist/app.bin")
            .putHeaders("Content-Type", "application/octet-stream")
            .setSizeBytes(content.length)
            .setSha256(HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(content)))
            .build();
    this.name = client.organization() + "/uploads/" + header.getUploadId();
  }

  ReleaseFile send() throws Exception {
    // Refuses at once what could not be stored, and lets GetUpload know of it before the first byte.
    client.uploads().startUpload(StartUploadRequest.newBuilder().setHeader(header).build());
    cutInTheMiddle();
    UploadReleaseFileResponse answer =
        Failure.patiently(
            () -> {
              long from = committedBytes();
              System.out.println("upload: goes on from byte " + from);
              var call = client.releases().uploadReleaseFile();
              if (sendFrames(call, (int) from, content.length)) {
                var finish =
                    UploadFinish.newBuilder().setSizeBytes(content.length).setSha256(header.getSha256());
                Client.write(call, UploadReleaseFileRequest.newBuilder().setFinish(finish).build());
              }
              return Client.answer(call);
            });
    ReleaseFile file = answer.getFile();
    System.out.printf(
        "file: %s of %d bytes, created %b%n", file.getFileName(), file.getSizeBytes(), answer.getCreated());
    return file;
  }

  private long committedBytes() throws StatusException {
    return client
        .uploads()
        .getUpload(GetUploadRequest.newBuilder().setName(name).build())
        .getUpload()
        .getCommittedBytes();
  }

  /** Sends the header and data; false when the server has ended the call, and its answer is to tell why. */
  private boolean sendFrames(
      BlockingClientCall<UploadReleaseFileRequest, UploadReleaseFileResponse> call, int from, int end)
      throws Exception {
    boolean open = Client.write(call, UploadReleaseFileRequest.newBuilder().setHeader(header).build());
    for (int offset = from; open && offset < end; offset += FRAME_BYTES) {
      int size = Math.min(FRAME_BYTES, end - offset);
      var data = UploadData.newBuilder().setOffset(offset).setData(ByteString.copyFrom(content, offset, size));
      open = Client.write(call, UploadReleaseFileRequest.newBuilder().setData(data).build());
    }
    return open;
  }

  /** What a lost connection does: a stream that ends after half of the bytes, without a finish. */
  private void cutInTheMiddle() throws Exception {
    var call = client.releases().uploadReleaseFile();
    int half = content.length / 2;
    sendFrames(call, 0, half);
    // Only for the show: the server puts away what came once a second, blocks of 2 MiB, and the cut is to come after.
    for (int round = 0; half >= BLOCK_BYTES && round < 100 && committedBytes() == 0; round++) {
      Thread.sleep(100);
    }
    call.cancel("cut on purpose", null);
    System.out.println("upload: cut after " + half + " of " + content.length + " bytes");
  }
}
