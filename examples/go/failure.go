package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
)

// Failure is what a program decides by: the code, the reason of errors.proto, the fields that were wrong, and when
// repeating is worth it. The message is for people.
type Failure struct {
	Code       string
	Reason     string
	Metadata   map[string]string
	Fields     []string
	RetryAfter time.Duration // 0: it is not
	Message    string
}

// Decode reads the details of an error of a call.
func Decode(err error) Failure {
	said := status.Convert(err)
	failure := Failure{Code: code.Code(said.Code()).String(), Message: said.Message()}
	for _, detail := range said.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			failure.Reason, failure.Metadata = detail.GetReason(), detail.GetMetadata()
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				failure.Fields = append(failure.Fields, violation.GetField()+": "+violation.GetDescription())
			}
		case *errdetails.RetryInfo:
			failure.RetryAfter = detail.GetRetryDelay().AsDuration()
		}
	}
	return failure
}

// Explain puts an error into a line.
func Explain(err error) string {
	if _, ofACall := status.FromError(err); !ofACall {
		return err.Error()
	}
	failure := Decode(err)
	if len(failure.Fields) > 0 {
		return fmt.Sprintf("%s %s (%s)", failure.Code, failure.Reason, strings.Join(failure.Fields, "; "))
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s: %s", failure.Code, failure.Reason, failure.Message))
}

// Patiently calls again when the server says after what time that is worth it. For streams, which grpc cannot repeat by
// itself; a lost connection says nothing, and is worth it, too.
func Patiently(ctx context.Context, call func() error) error {
	for attempt := 1; ; attempt++ {
		err := call()
		if err == nil || attempt == 5 {
			return err
		}
		failure := Decode(err)
		wait := failure.RetryAfter
		if wait == 0 && failure.Code == "UNAVAILABLE" {
			wait = 500 * time.Millisecond
		}
		if wait == 0 {
			return err
		}
		fmt.Printf("again in %g s: %s %s\n", wait.Seconds(), failure.Code, failure.Reason)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
	}
}
