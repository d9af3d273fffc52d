// A client of the release registry in Go: it makes a release, tells its commits, uploads a file, loses the connection on
// purpose and goes on where the server was, finds the release again, and reads the file back.
//
//	REGISTRY_TOKEN=... go run . app@1.0.0 path/to/file
package main

//go:generate buf generate ../../protos
//go:generate cp ../../protos/releaseregistry/v1/grpc_service_config.json gen/

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	registry "example.com/registry-client/gen/releaseregistry/v1"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: registry-client VERSION FILE")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "failed:", Explain(err))
		os.Exit(1)
	}
}

func run(version, path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	client, err := Connect(os.Getenv)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := client.Context(5 * time.Minute)
	defer cancel()

	release, err := createRelease(ctx, client, version)
	if err != nil {
		return err
	}
	if err := setCommits(ctx, client, release); err != nil {
		return err
	}
	file, err := upload(ctx, client, release, content)
	if err != nil {
		return err
	}
	if err := find(ctx, client); err != nil {
		return err
	}
	// A version may not begin with a space: the server says which field is wrong, and why.
	_, err = createRelease(ctx, client, " "+version)
	fmt.Println("refused:", Explain(err))
	return readBack(ctx, client, file)
}

// createRelease is safe to repeat, and the service config has grpc do it: the request_id says that it is the same call.
func createRelease(ctx context.Context, client *Client, version string) (string, error) {
	answer, err := client.Releases.CreateRelease(ctx, &registry.CreateReleaseRequest{
		Parent:    client.Organization,
		Release:   &registry.Release{Version: version, Projects: []string{client.Project}},
		RequestId: uuid.NewString(),
	})
	if err != nil {
		return "", err
	}
	outcome := strings.TrimPrefix(answer.GetOutcome().String(), "CREATE_RELEASE_OUTCOME_")
	fmt.Printf("release: %s %s\n", answer.GetRelease().GetName(), outcome)
	return answer.GetRelease().GetName(), nil
}

// setCommits streams any number of commits. Only the finish carries them out, all or none; so it can be said again.
func setCommits(ctx context.Context, client *Client, release string) error {
	const count, batch = 250, 100
	var answer *registry.SetCommitsResponse
	err := Patiently(ctx, func() error {
		stream, err := client.Releases.SetCommits(ctx)
		if err != nil {
			return err
		}
		for start := 0; start < count; start += batch {
			request := &registry.SetCommitsRequest{Name: release}
			for number := start; number < min(start+batch, count); number++ {
				request.Commits = append(request.Commits, commit(number))
			}
			if err := stream.Send(request); err != nil {
				break // io.EOF says no more than that the call has ended; why is for CloseAndRecv to tell
			}
		}
		_ = stream.Send(&registry.SetCommitsRequest{Finish: true, CommitCount: count})
		answer, err = stream.CloseAndRecv()
		return err
	})
	if err != nil {
		return err
	}
	made := answer.GetRelease()
	fmt.Printf("commits: %d, the newest is %s\n", made.GetCommitCount(), made.GetLastCommit().GetId())
	return nil
}

func commit(number int) *registry.Commit {
	return &registry.Commit{
		Id:          fmt.Sprintf("%040x", number+1),
		Repository:  "acme/web",
		AuthorName:  "Ada",
		AuthorEmail: "ada@example.com",
		Message:     fmt.Sprintf("Change %d", number+1),
		CommitTime:  timestamppb.New(time.Unix(1_700_000_000+int64(number)*60, 0)),
		ChangedFiles: []*registry.ChangedFile{
			{Path: fmt.Sprintf("src/%d.go", number+1), ChangeType: registry.ChangeType_CHANGE_TYPE_MODIFIED},
		},
	}
}

// find reads a list page by page.
func find(ctx context.Context, client *Client) error {
	var versions []string
	pages := 0
	for token, more := "", true; more; more = token != "" {
		page, err := client.Releases.ListReleases(ctx, &registry.ListReleasesRequest{
			Parent:    client.Organization,
			Query:     "release.version:>=1.0 !has:deployed",
			Sort:      registry.ReleaseSort_RELEASE_SORT_VERSION,
			PageSize:  2,
			PageToken: token,
		})
		if err != nil {
			return err
		}
		for _, release := range page.GetReleases() {
			versions = append(versions, release.GetVersion())
		}
		pages++
		token = page.GetNextPageToken()
	}
	fmt.Printf("found: %s on %d pages\n", strings.Join(versions, ", "), pages)
	return nil
}

// readBack downloads the file: a header, then its bytes. What ends OK is right to the last byte.
func readBack(ctx context.Context, client *Client, file *registry.ReleaseFile) error {
	stream, err := client.Releases.DownloadReleaseFile(ctx, &registry.DownloadReleaseFileRequest{Name: file.GetName()})
	if err != nil {
		return err
	}
	digest := sha256.New()
	size := 0
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		digest.Write(message.GetData())
		size += len(message.GetData())
	}
	fmt.Printf("read back: %d bytes with SHA-256 %s\n", size, hex.EncodeToString(digest.Sum(nil)))
	return nil
}
