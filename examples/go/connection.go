package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	registry "example.com/registry-client/gen/releaseregistry/v1"
)

// Which calls grpc repeats by itself, and how: it stands beside the protos.
//
//go:embed gen/grpc_service_config.json
var serviceConfig string

// How long until a server that was away is looked for again: two minutes at most, unless it is said.
var reconnecting = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
	MinConnectTimeout: 5 * time.Second,
}

// Client is a connection and what every call on it needs.
type Client struct {
	Releases     registry.ReleaseServiceClient
	Uploads      registry.UploadServiceClient
	Organization string
	Project      string
	connection   *grpc.ClientConn
	token        string
}

// Connect reads REGISTRY_TOKEN, REGISTRY_SERVER, REGISTRY_ORGANIZATION and REGISTRY_PROJECT, and REGISTRY_CA for TLS: a
// file of certificates to trust, or "system" for the system's.
func Connect(environment func(string) string) (*Client, error) {
	said := func(name, otherwise string) string {
		if value := environment(name); value != "" {
			return value
		}
		return otherwise
	}
	token := environment("REGISTRY_TOKEN")
	if token == "" {
		return nil, errors.New("REGISTRY_TOKEN is not set")
	}
	transport, err := transportOf(environment("REGISTRY_CA"))
	if err != nil {
		return nil, err
	}
	connection, err := grpc.NewClient(
		said("REGISTRY_SERVER", "127.0.0.1:50051"),
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithConnectParams(reconnecting),
	)
	if err != nil {
		return nil, err
	}
	organization := "organizations/" + said("REGISTRY_ORGANIZATION", "acme")
	return &Client{
		Releases:     registry.NewReleaseServiceClient(connection),
		Uploads:      registry.NewUploadServiceClient(connection),
		Organization: organization,
		Project:      organization + "/projects/" + said("REGISTRY_PROJECT", "web"),
		connection:   connection,
		token:        token,
	}, nil
}

func transportOf(authority string) (credentials.TransportCredentials, error) {
	switch authority {
	case "":
		return insecure.NewCredentials(), nil // for a server on this machine
	case "system":
		return credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12}), nil
	}
	certificates, err := os.ReadFile(authority)
	if err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM(certificates) {
		return nil, fmt.Errorf("%s holds no certificate", authority)
	}
	return credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: trusted}), nil
}

// Context is what calls take: the token, who is calling, and a deadline, without which a call may wait for ever.
func (client *Client) Context(limit time.Duration) (context.Context, context.CancelFunc) {
	calling := metadata.AppendToOutgoingContext(
		context.Background(), "authorization", "Bearer "+client.token, "x-caller", "go example")
	return context.WithTimeout(calling, limit)
}

// Close ends the connection.
func (client *Client) Close() {
	_ = client.connection.Close()
}
