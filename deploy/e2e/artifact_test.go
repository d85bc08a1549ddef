package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// chat is what the chatty plugin writes.
func chat(lines int) []byte {
	var b bytes.Buffer
	for n := range lines {
		fmt.Fprintf(&b, "%015d\n", n)
	}
	return b.Bytes()
}

// TestALongOutputIsKeptWhole: a plugin writes 1 MiB. The result has its end, with a mark; the artefact has every byte. The server is
// killed before the agent can bring it, and the file waits on the terminal.
func TestALongOutputIsKeptWhole(t *testing.T) {
	t.Parallel()
	f := startFleet(t, "127.0.0.1")
	f.mustCtl("site", "add", "lyon")
	a := f.newAgentWith("lyon", "line-1", "chatty")
	const lines = 1 << 16
	want := chat(lines)

	job := f.fix("chat", "--site", "lyon", "--param", fmt.Sprintf("lines=%d", lines))
	task := f.awaitTask(job)
	f.server.kill()
	r := task.GetResult()
	if !r.GetOutputTruncated() || !strings.HasPrefix(r.GetOutput(), "[cut here: this is the end of 1048576 bytes; the whole is kept as an artefact]\n") || !strings.HasSuffix(r.GetOutput(), string(want[len(want)-1000:])) {
		t.Errorf("the output in the result begins %.100q and is cut: %v; want its end behind a mark", r.GetOutput(), r.GetOutputTruncated())
	}
	if len(r.GetArtifacts()) != 1 || r.GetArtifacts()[0].GetSize() != uint64(len(want)) || r.GetArtifacts()[0].GetTruncated() {
		t.Errorf("the result names %v, want one artefact of %d bytes", r.GetArtifacts(), len(want))
	}
	f.start()

	artifact := f.awaitArtifact(job)
	path := filepath.Join(t.TempDir(), "output.log")
	f.mustCtl("artifact", "get", artifact.GetId(), "-f", path)
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes came (%v), want exactly the %d that the plugin wrote", len(got), err, len(want))
	}
	if o := f.ctl("artifact", "get", artifact.GetId(), "-f", path); o.code != 2 {
		t.Errorf("getting it onto a file that is there: %v, want exit code 2", o)
	}
	if shown := f.mustCtl("job", "show", job, "line-1"); !strings.Contains(shown, artifact.GetSha256()) {
		t.Errorf("job show names no artefact:\n%s", shown)
	}
	eventually(t, "the agent's spool is empty", func() bool {
		left, err := os.ReadDir(filepath.Join(a.dataDir, "spool"))
		return err == nil && len(left) == 0
	})
}

// TestAnOutputLongerThanItMayBeIsCutAndSaysSo: a runaway plugin writes 20 MiB, of which 16 are kept.
func TestAnOutputLongerThanItMayBeIsCutAndSaysSo(t *testing.T) {
	t.Parallel()
	f := startFleet(t, "127.0.0.1")
	f.mustCtl("site", "add", "lyon")
	f.newAgentWith("lyon", "line-1", "chatty")
	const lines = 20 << 20 / 16

	job := f.fix("chat", "--site", "lyon", "--param", fmt.Sprintf("lines=%d", lines))
	r := f.awaitTask(job).GetResult()
	if len(r.GetArtifacts()) != 1 || !r.GetArtifacts()[0].GetTruncated() || r.GetArtifacts()[0].GetSize() != 16<<20 {
		t.Fatalf("the result names %v, want an artefact of 16 MiB that says that it is cut", r.GetArtifacts())
	}
	path := filepath.Join(t.TempDir(), "output.log")
	f.mustCtl("artifact", "get", f.awaitArtifact(job).GetId(), "-f", path)
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, chat(16<<20/16)) {
		t.Errorf("%d bytes came (%v), want the first 16 MiB", len(got), err)
	}
}

// awaitArtifact waits until the only artefact of a job is complete.
func (f *fleet) awaitArtifact(job string) *fleetv1.Artifact {
	f.t.Helper()
	var list fleetv1.ListArtifactsResponse
	eventually(f.t, "the artefact of job "+job+" is complete", func() bool {
		list.Reset()
		unmarshal(f.t, f.mustCtl("artifact", "list", "--job", job, "-o", "json"), &list)
		return len(list.GetArtifacts()) == 1 && list.GetArtifacts()[0].GetComplete()
	})
	return list.GetArtifacts()[0]
}
