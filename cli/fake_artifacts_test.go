package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// fakeOutput is what artefact "art-1" holds: more than one portion.
func fakeOutput() []byte { return bytes.Repeat([]byte("restarting the endpoint\n"), 8000) }

func fakeArtifacts() []*fleetv1.Artifact {
	sum := sha256.Sum256(fakeOutput())
	return []*fleetv1.Artifact{
		{Id: "art-2", JobId: "job-2", TerminalId: "T-0002", TerminalName: "lyon-02", Site: "lyon", Kind: "firmware-log", Subject: "AAAH-00125", Name: "../../lyon-02.log",
			Size: 20 << 20, Received: 5 << 20, Created: at(-time.Minute), Expires: at(7 * 24 * time.Hour)},
		{Id: "art-1", JobId: "job-1", TerminalId: "T-0001", TerminalName: "lyon-01", Site: "lyon", Kind: "output", Name: "lyon-01-output-art-1.log",
			Size: uint64(len(fakeOutput())), Received: uint64(len(fakeOutput())), Sha256: hex.EncodeToString(sum[:]), Complete: true,
			Created: at(-time.Hour), Expires: at(90 * 24 * time.Hour)},
	}
}

// ListArtifacts has pages of one.
func (f *fakeFleet) ListArtifacts(_ context.Context, r *fleetv1.ListArtifactsRequest) (*fleetv1.ListArtifactsResponse, error) {
	resp := &fleetv1.ListArtifactsResponse{}
	for _, a := range fakeArtifacts() {
		if (r.GetJobId() == "" || r.GetJobId() == a.GetJobId()) && (r.GetTerminal() == "" || r.GetTerminal() == a.GetTerminalName()) {
			resp.Artifacts = append(resp.Artifacts, a)
		}
	}
	if r.GetPageToken() != "" {
		resp.Artifacts = resp.GetArtifacts()[1:]
	}
	if len(resp.GetArtifacts()) > 1 {
		resp.Artifacts, resp.NextPageToken = resp.GetArtifacts()[:1], "more"
	}
	return resp, nil
}

func (f *fakeFleet) GetArtifact(_ context.Context, r *fleetv1.GetArtifactRequest) (*fleetv1.GetArtifactResponse, error) {
	for _, a := range fakeArtifacts() {
		if a.GetId() == r.GetId() {
			return &fleetv1.GetArtifactResponse{Artifact: a}, nil
		}
	}
	return nil, notFound("artifact", r.GetId())
}

// DownloadArtifact sends portions of 50000 bytes. "cut-artifact" ends it after the first, "spoil-artifact" changes a byte,
// "long-artifact" sends too much.
func (f *fakeFleet) DownloadArtifact(r *fleetv1.DownloadArtifactRequest, st grpc.ServerStreamingServer[fleetv1.DownloadArtifactResponse]) error {
	if r.GetId() != "art-1" {
		return refuse(codes.FailedPrecondition, "artefact \"art-2\": is still coming", "NOT_COMPLETE")
	}
	f.state.Lock()
	f.downloads = append(f.downloads, r.GetOffset())
	f.state.Unlock()
	content := fakeOutput()
	if f.take("spoil-artifact") {
		content[len(content)-7] ^= 1
	}
	if f.take("long-artifact") {
		content = append(content, content...)
	}
	content = content[r.GetOffset():]
	for len(content) > 0 {
		n := min(50000, len(content))
		if err := st.Send(&fleetv1.DownloadArtifactResponse{Data: content[:n]}); err != nil {
			return err
		}
		content = content[n:]
		if f.take("cut-artifact") {
			return status.Error(codes.Unavailable, "the connection broke")
		}
	}
	return nil
}
