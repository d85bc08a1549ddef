package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server/artifacts"
	"github.com/bandfleet/bandfleet/server/upkeep"
)

func artifactHeader(job string, data []byte) *agentv1.ArtifactHeader {
	sum := sha256.Sum256(data)
	return &agentv1.ArtifactHeader{
		Key: &agentv1.TaskKey{JobId: job, Attempt: 1}, Kind: "output", Size: uint64(len(data)), Sha256: hex.EncodeToString(sum[:]),
	}
}

// upload announces a file and sends at most so many bytes of what the server lacks, then waits for the answer or leaves.
func (a *agent) upload(h *agentv1.ArtifactHeader, data []byte, most int) (began uint64, last *agentv1.UploadArtifactResponse, err error) {
	a.t.Helper()
	st, err := agentv1.NewAgentServiceClient(a.conn).UploadArtifact(a.t.Context())
	if err != nil {
		a.t.Fatal(err)
	}
	_ = st.Send(&agentv1.UploadArtifactRequest{Message: &agentv1.UploadArtifactRequest_Header{Header: h}})
	if last, err = st.Recv(); err != nil || last.GetComplete() {
		return 0, last, err
	}
	began = last.GetReceived()
	for offset := began; offset < uint64(len(data)) && most > 0; {
		n := min(64<<10, most, len(data)-int(offset))
		_ = st.Send(&agentv1.UploadArtifactRequest{Message: &agentv1.UploadArtifactRequest_Chunk{Chunk: &agentv1.ArtifactChunk{
			Offset: offset, Data: data[offset : int(offset)+n],
		}}})
		offset += uint64(n)
		most -= n
	}
	_ = st.CloseSend()
	last, err = st.Recv()
	return began, last, err
}

// operator makes an operator of a site, and a connection of theirs.
func (r *running) operator(name, site string, role fleetv1.OperatorRole) *grpc.ClientConn {
	r.t.Helper()
	key, err := identity.GenerateKey()
	if err != nil {
		r.t.Fatal(err)
	}
	csr, err := identity.NewCSR(key)
	if err != nil {
		r.t.Fatal(err)
	}
	made, err := fleetv1.NewAccessServiceClient(r.admin).CreateOperator(r.t.Context(), &fleetv1.CreateOperatorRequest{
		Name: name, Csr: csr, Bindings: []*fleetv1.RoleBinding{{Role: role, Sites: []string{site}}},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	conn := r.dial(clientTLS(r.t, key, made.GetCertificateChain(), made.GetTrustBundle()))
	r.t.Cleanup(func() { conn.Close() })
	return conn
}

func fetchArtifact(t *testing.T, conn *grpc.ClientConn, id string, offset uint64) ([]byte, error) {
	t.Helper()
	st, err := fleetv1.NewArtifactServiceClient(conn).DownloadArtifact(t.Context(), &fleetv1.DownloadArtifactRequest{Id: id, Offset: offset})
	if err != nil {
		return nil, err
	}
	var got bytes.Buffer
	for {
		m, err := st.Recv()
		if errors.Is(err, io.EOF) {
			return got.Bytes(), nil
		}
		if err != nil {
			return got.Bytes(), err
		}
		got.Write(m.GetData())
	}
}

// TestAnArtefactOverTheWire goes the whole way: a file is broken off, goes on after the server came back, is fetched by who may,
// does not exist for who may not, and is damaged.
func TestAnArtefactOverTheWire(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir)
	a := r.enrol(r.token("lyon"), "line-1")
	a.connect("line-1")
	job := r.fix().GetId()
	a.serve()
	data := bytes.Repeat([]byte("all work and no play\n"), 20_000)
	h := artifactHeader(job, data)
	if _, _, err := a.upload(h, data, 100_000); status.Code(err) != codes.Unavailable {
		t.Errorf("an upload that its agent breaks off: %v, want UNAVAILABLE", err)
	}
	addr := a.tls
	a.conn.Close()
	r.halt()

	r = start(t, dir)
	defer r.halt()
	a.conn = r.dial(addr)
	defer a.conn.Close()
	began, last, err := a.upload(h, data, len(data))
	if err != nil || began != 100_000 || !last.GetComplete() {
		t.Fatalf("after the restart it began at %d and ended with %v, %v; want it to go on at 100000", began, last, err)
	}
	if _, again, err := a.upload(h, nil, 0); err != nil || again.GetArtifactId() != last.GetArtifactId() || !again.GetComplete() {
		t.Errorf("the same file again: %v, %v; want it complete at once", again, err)
	}
	id := last.GetArtifactId()
	ada := r.operator("ada", "lyon", fleetv1.OperatorRole_OPERATOR_ROLE_OPERATOR)
	if got, err := fetchArtifact(t, ada, id, 0); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes came, %v; want the file as it was", len(got), err)
	}
	list, err := fleetv1.NewArtifactServiceClient(ada).ListArtifacts(t.Context(), &fleetv1.ListArtifactsRequest{JobId: job, Terminal: "line-1"})
	if err != nil || len(list.GetArtifacts()) != 1 || list.GetArtifacts()[0].GetId() != id {
		t.Errorf("list is %v, %v; want the one artefact", list, err)
	}
	r.wantArtifactHidden(id)

	path := filepath.Join(artifacts.PathIn(dir), id)
	text, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(text, data) {
		t.Fatalf("the file on the disk: %d bytes, %v", len(text), err)
	}
	text[len(text)-1] ^= 1
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := fetchArtifact(t, ada, id, 0); status.Code(err) != codes.DataLoss || len(got) == len(data) {
		t.Errorf("%d bytes came of a damaged file, %v; want DATA_LOSS and not all of it", len(got), err)
	}
}

// wantArtifactHidden checks that an artefact is none for those who may not know of it, and not to be fetched by who may only read.
func (r *running) wantArtifactHidden(id string) {
	r.t.Helper()
	r.token("turin")
	foreign := r.operator("bob", "turin", fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN)
	viewer := r.operator("eve", "lyon", fleetv1.OperatorRole_OPERATOR_ROLE_VIEWER)
	get := func(conn *grpc.ClientConn, id string) error {
		_, err := fleetv1.NewArtifactServiceClient(conn).GetArtifact(r.t.Context(), &fleetv1.GetArtifactRequest{Id: id})
		return err
	}
	hidden, missing := get(foreign, id), get(foreign, "01JD000000000000000000000D")
	if status.Code(hidden) != codes.NotFound || strings.ReplaceAll(status.Convert(hidden).Message(), id, "") != strings.ReplaceAll(status.Convert(missing).Message(), "01JD000000000000000000000D", "") {
		r.t.Errorf("another site's artefact: %v, one that is not there: %v; want the same words", hidden, missing)
	}
	if _, err := fetchArtifact(r.t, foreign, id, 0); status.Code(err) != codes.NotFound {
		r.t.Errorf("fetching another site's artefact: %v, want NOT_FOUND", err)
	}
	if err := get(viewer, id); err != nil {
		r.t.Errorf("a viewer reads what is known of it: %v", err)
	}
	if _, err := fetchArtifact(r.t, viewer, id, 0); status.Code(err) != codes.PermissionDenied {
		r.t.Errorf("a viewer fetches it: %v, want PERMISSION_DENIED: an output may hold more than a viewer may see", err)
	}
}

func TestAnArtefactOfAForeignTaskIsRefused(t *testing.T) {
	r := start(t, t.TempDir())
	defer r.halt()
	a, b := r.enrol(r.token("lyon"), "line-1"), r.enrol(r.token("turin"), "line-2")
	defer a.conn.Close()
	defer b.conn.Close()
	a.connect("line-1")
	job := r.fix().GetId()
	a.serve()
	data := []byte("not yours")
	for name, h := range map[string]*agentv1.ArtifactHeader{"another's": artifactHeader(job, data), "nobody's": artifactHeader("01JD000000000000000000000D", data)} {
		if _, _, err := b.upload(h, data, len(data)); status.Code(err) != codes.PermissionDenied || !strings.Contains(status.Convert(err).Message(), "no such task") {
			t.Errorf("%s task: %v, want PERMISSION_DENIED in the same words", name, err)
		}
	}
}

// TestACheckReadsTheFiles is `fleetd check` on a data directory.
func TestACheckReadsTheFiles(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir)
	a := r.enrol(r.token("lyon"), "line-1")
	a.connect("line-1")
	job := r.fix().GetId()
	a.serve()
	_, last, err := a.upload(artifactHeader(job, []byte("kept")), []byte("kept"), 4)
	if err != nil {
		t.Fatal(err)
	}
	a.conn.Close()
	r.halt()
	var lines []string
	say := func(line string) { lines = append(lines, line) }
	if err := errors.Join(upkeep.Check(t.Context(), upkeep.Path(dir), say), upkeep.CheckFiles(t.Context(), dir, say)); err != nil {
		t.Errorf("the check found %v", err)
	}
	if said := strings.Join(lines, "\n"); !strings.Contains(said, "artefacts: 1 artefacts; all agree") || !strings.Contains(said, "artefacts: 1 files, and 0 that belong") {
		t.Errorf("the check said\n%s\nwant the artefact and its file", said)
	}
	if err := os.Remove(filepath.Join(artifacts.PathIn(dir), last.GetArtifactId())); err != nil {
		t.Fatal(err)
	}
	if err := upkeep.CheckFiles(t.Context(), dir, say); err == nil || !strings.Contains(err.Error(), last.GetArtifactId()) {
		t.Errorf("the check says %v, want it to name the artefact whose file is gone", err)
	}
}
