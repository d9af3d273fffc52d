package com.example.registry;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.Code;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.StatusException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;

/**
 * What a program decides by: the code, the reason of errors.proto, the fields that were wrong, and when repeating is
 * worth it (zero: it is not). The message is for people.
 */
record Failure(
    Code code, String reason, Map<String, String> metadata, List<String> fields, Duration retryAfter, String message) {
  private static final int ATTEMPTS = 5;

  /** Reads the details of an error of a call. */
  static Failure of(StatusException error) {
    var status = StatusProto.fromThrowable(error);
    String reason = "";
    Map<String, String> metadata = Map.of();
    List<String> fields = List.of();
    Duration retryAfter = Duration.ZERO;
    try {
      for (Any detail : status.getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          ErrorInfo info = detail.unpack(ErrorInfo.class);
          reason = info.getReason();
          metadata = info.getMetadataMap();
        } else if (detail.is(BadRequest.class)) {
          fields =
              detail.unpack(BadRequest.class).getFieldViolationsList().stream()
                  .map(violation -> violation.getField() + ": " + violation.getDescription())
                  .toList();
        } else if (detail.is(RetryInfo.class)) {
          var delay = detail.unpack(RetryInfo.class).getRetryDelay();
          retryAfter = Duration.ofSeconds(delay.getSeconds(), delay.getNanos());
        }
      }
    } catch (InvalidProtocolBufferException unreadable) {
      throw new IllegalStateException(unreadable);
    }
    return new Failure(Code.forNumber(status.getCode()), reason, metadata, fields, retryAfter, status.getMessage());
  }

  @Override
  public String toString() {
    if (fields.isEmpty()) {
      return code + " " + reason + ": " + message;
    }
    return code + " " + reason + fields.stream().collect(Collectors.joining("; ", " (", ")"));
  }

  /**
   * Calls again when the server says after what time that is worth it. For streams, which grpc cannot repeat by itself;
   * a lost connection says nothing, and is worth it, too.
   */
  static <T> T patiently(Callable<T> call) throws Exception {
    for (int attempt = 1; ; attempt++) {
      try {
        return call.call();
      } catch (StatusException error) {
        Failure failure = of(error);
        Duration wait = failure.retryAfter();
        if (wait.isZero() && failure.code() == Code.UNAVAILABLE) {
          wait = Duration.ofMillis(500);
        }
        if (wait.isZero() || attempt == ATTEMPTS) {
          throw error;
        }
        System.out.println("again in " + wait.toMillis() / 1000.0 + " s: " + failure.code() + " " + failure.reason());
        Thread.sleep(wait.toMillis());
      }
    }
  }
}
