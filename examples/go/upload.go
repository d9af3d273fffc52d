package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/google/uuid"

	registry "example.com/registry-client/gen/releaseregistry/v1"
)

const (
	frameBytes = 256 * 1024
	blockBytes = 2 * 1024 * 1024
)

// upload sends a file that survives cuts: the id, chosen here, names the upload wherever it goes on.
func upload(ctx context.Context, client *Client, release string, content []byte) (*registry.ReleaseFile, error) {
	digest := sha256.Sum256(content)
	size, sum := int64(len(content)), hex.EncodeToString(digest[:])
	header := &registry.UploadHeader{
		UploadId:  uuid.NewString(),
		Parent:    release,
		FileName:  "dist/app.bin",
		Headers:   map[string]string{"Content-Type": "application/octet-stream"},
		SizeBytes: &size,
		Sha256:    &sum,
	}
	name := client.Organization + "/uploads/" + header.GetUploadId()
	// Refuses at once what could not be stored, and lets GetUpload know of it before the first byte.
	if _, err := client.Uploads.StartUpload(ctx, &registry.StartUploadRequest{Header: header}); err != nil {
		return nil, err
	}
	if err := cutInTheMiddle(ctx, client, header, content, name); err != nil {
		return nil, err
	}

	var answer *registry.UploadReleaseFileResponse
	err := Patiently(ctx, func() error {
		known, err := client.Uploads.GetUpload(ctx, &registry.GetUploadRequest{Name: name})
		if err != nil {
			return err
		}
		from := known.GetUpload().GetCommittedBytes()
		fmt.Printf("upload: goes on from byte %d\n", from)
		stream, err := client.Releases.UploadReleaseFile(ctx)
		if err != nil {
			return err
		}
		if sendFrames(stream, header, content[from:], from) {
			_ = stream.Send(&registry.UploadReleaseFileRequest{Frame: &registry.UploadReleaseFileRequest_Finish{
				Finish: &registry.UploadFinish{SizeBytes: size, Sha256: sum},
			}})
		}
		answer, err = stream.CloseAndRecv()
		return err
	})
	if err != nil {
		return nil, err
	}
	file := answer.GetFile()
	fmt.Printf("file: %s of %d bytes, created %t\n", file.GetFileName(), file.GetSizeBytes(), answer.GetCreated())
	return file, nil
}

// sendFrames sends the header and data. Once the server has ended the call Send fails, and CloseAndRecv tells why.
func sendFrames(
	stream registry.ReleaseService_UploadReleaseFileClient, header *registry.UploadHeader, data []byte, offset int64,
) bool {
	first := &registry.UploadReleaseFileRequest{Frame: &registry.UploadReleaseFileRequest_Header{Header: header}}
	if stream.Send(first) != nil {
		return false
	}
	for len(data) > 0 {
		part := data[:min(frameBytes, len(data))]
		at := offset
		frame := &registry.UploadReleaseFileRequest_Data{Data: &registry.UploadData{Offset: &at, Data: part}}
		if stream.Send(&registry.UploadReleaseFileRequest{Frame: frame}) != nil {
			return false
		}
		data, offset = data[len(part):], offset+int64(len(part))
	}
	return true
}

// cutInTheMiddle is what a lost connection does: a stream that ends after half of the bytes, without a finish.
func cutInTheMiddle(
	ctx context.Context, client *Client, header *registry.UploadHeader, content []byte, name string,
) error {
	broken, cut := context.WithCancel(ctx)
	defer cut()
	stream, err := client.Releases.UploadReleaseFile(broken)
	if err != nil {
		return err
	}
	half := content[:len(content)/2]
	sendFrames(stream, header, half, 0)
	// Only for the show: the server puts away what came once a second, blocks of 2 MiB, and the cut is to come after that.
	for round := 0; round < 100 && len(half) >= blockBytes; round++ {
		known, err := client.Uploads.GetUpload(ctx, &registry.GetUploadRequest{Name: name})
		if err != nil {
			return err
		}
		if known.GetUpload().GetCommittedBytes() > 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	fmt.Printf("upload: cut after %d of %d bytes\n", len(half), len(content))
	return nil
}
