package com.example.registry;

import com.google.gson.Gson;
import dev.releaseregistry.v1.ReleaseServiceGrpc;
import dev.releaseregistry.v1.ReleaseServiceGrpc.ReleaseServiceBlockingV2Stub;
import dev.releaseregistry.v1.UploadServiceGrpc;
import dev.releaseregistry.v1.UploadServiceGrpc.UploadServiceBlockingV2Stub;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusException;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.BlockingClientCall;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** A connection and what every call on it needs. */
final class Client implements AutoCloseable {
  private final ManagedChannel channel;
  private final String organization;
  private final String project;
  private final Metadata metadata = new Metadata();

  private Client(ManagedChannel channel, String organization, String project, String token) {
    this.channel = channel;
    this.organization = organization;
    this.project = organization + "/projects/" + project;
    metadata.put(key("authorization"), "Bearer " + token);
    metadata.put(key("x-caller"), "java example");
  }

  /**
   * Reads REGISTRY_TOKEN, REGISTRY_SERVER, REGISTRY_ORGANIZATION and REGISTRY_PROJECT, and REGISTRY_CA for TLS: a file
   * of certificates to trust, or "system" for the system's.
   */
  static Client connect(Map<String, String> environment) throws IOException {
    String token = environment.get("REGISTRY_TOKEN");
    if (token == null) {
      throw new IllegalArgumentException("REGISTRY_TOKEN is not set");
    }
    String server = environment.getOrDefault("REGISTRY_SERVER", "127.0.0.1:50051");
    ManagedChannel channel =
        Grpc.newChannelBuilder(server, transport(environment.getOrDefault("REGISTRY_CA", "")))
            .defaultServiceConfig(serviceConfig())
            .enableRetry()
            .build();
    String organization = "organizations/" + environment.getOrDefault("REGISTRY_ORGANIZATION", "acme");
    return new Client(channel, organization, environment.getOrDefault("REGISTRY_PROJECT", "web"), token);
  }

  private static ChannelCredentials transport(String authority) throws IOException {
    return switch (authority) {
      case "" -> InsecureChannelCredentials.create(); // for a server on this machine
      case "system" -> TlsChannelCredentials.create();
      default -> TlsChannelCredentials.newBuilder().trustManager(new File(authority)).build();
    };
  }

  /** Which calls grpc repeats by itself, and how: it stands beside the protos, and the build puts it among the classes. */
  private static Map<String, ?> serviceConfig() throws IOException {
    try (Reader reader =
        new InputStreamReader(
            Client.class.getResourceAsStream("/grpc_service_config.json"), StandardCharsets.UTF_8)) {
      @SuppressWarnings("unchecked")
      Map<String, ?> config = new Gson().fromJson(reader, Map.class);
      return config;
    }
  }

  String organization() {
    return organization;
  }

  String project() {
    return project;
  }

  /** Each call gets a deadline of its own, without which it may wait for ever. */
  ReleaseServiceBlockingV2Stub releases() {
    return ReleaseServiceGrpc.newBlockingV2Stub(channel)
        .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(metadata))
        .withDeadlineAfter(5, TimeUnit.MINUTES);
  }

  UploadServiceBlockingV2Stub uploads() {
    return UploadServiceGrpc.newBlockingV2Stub(channel)
        .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(metadata))
        .withDeadlineAfter(1, TimeUnit.MINUTES);
  }

  /** Sends a message, as fast as the server takes them; false when the server has ended the call. */
  static <T> boolean write(BlockingClientCall<T, ?> call, T message) throws InterruptedException {
    try {
      return call.write(message);
    } catch (StatusException ended) {
      return false; // why is for the answer to tell
    }
  }

  /** The answer of a client stream, or why it failed. */
  static <T> T answer(BlockingClientCall<?, T> call) throws InterruptedException, StatusException {
    call.halfClose();
    return call.read();
  }

  @Override
  public void close() throws InterruptedException {
    channel.shutdown().awaitTermination(5, TimeUnit.SECONDS);
  }

  private static Metadata.Key<String> key(String name) {
    return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
  }
}
