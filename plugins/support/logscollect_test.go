package main

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/agent/host/hosttest"
	"github.com/bandfleet/bandfleet/agent/runner"
	"github.com/bandfleet/bandfleet/agent/runner/runnertest"
	"github.com/bandfleet/bandfleet/plugins/sdk"
	"github.com/bandfleet/bandfleet/plugins/sdk/sdktest"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

func TestLogsCollectConforms(t *testing.T) {
	machine := func(files ...*actionv1.CollectedFile) func() *sdktest.Machine {
		return func() *sdktest.Machine {
			return &sdktest.Machine{Model: sdktest.Model{Sources: map[string][]*actionv1.CollectedFile{"nba": files}}}
		}
	}
	ready := actionv1.PlanVerdict_PLAN_VERDICT_READY
	sdktest.Conformance(t, func() sdk.Action { return logsCollect{} }, map[string]sdktest.Case{
		"of a terminal": {Machine: machine(&actionv1.CollectedFile{Source: "nba", Name: "nba/nem.log", Sha256: "00"}), Verdict: ready},
		"nes of a terminal": {
			Params: map[string]string{"scope": "nes"}, Machine: machine(), Verdict: actionv1.PlanVerdict_PLAN_VERDICT_REFUSED,
		},
	})
}

// keeper is a runner.Spool that keeps archives in memory.
type keeper struct{ archives [][]byte }

func (k *keeper) Begin(string) runner.Whole { return unkept{} }

// unkept is a runner.Whole of an output that is short.
type unkept struct{}

func (unkept) Write(p []byte) (int, error) { return len(p), nil }
func (unkept) Seen() uint64                { return 0 }
func (unkept) Discard() error              { return nil }

func (unkept) Keep(*agentv1.TaskKey) (*actionv1.ArtifactReference, error) {
	return nil, errors.New("nothing was written")
}

func (k *keeper) Add(_ context.Context, _ *agentv1.TaskKey, kind, subject string, from io.Reader) (*actionv1.ArtifactReference, error) {
	text, err := io.ReadAll(from)
	if err != nil {
		return nil, err
	}
	k.archives = append(k.archives, text)
	sum := sha256.Sum256(text)
	return &actionv1.ArtifactReference{Kind: kind, Subject: subject, Size: uint64(len(text)), Sha256: hex.EncodeToString(sum[:])}, nil
}

func terminalWithLogs() *hosttest.Memory {
	m := hosttest.NewMemory()
	m.SetFile("profiles", "ada/AppData/Roaming/Nymi/NEM/Logs/nem.log", "one\ntwo\n")
	m.SetFile("public", "unlock/Log/credential-provider.log", "ok\n")
	return m
}

func collecting(k *keeper) runnertest.Setup {
	return runnertest.Setup{
		Plugins: runnertest.Actions(logsCollect{}), Machine: terminalWithLogs,
		Configure: func(c *runner.Config) { c.Spool = k },
	}
}

func TestLogsAreCollectedThroughTheAgent(t *testing.T) {
	k := &keeper{}
	runnertest.In(t, collecting(k), func(b *runnertest.Bench) {
		out := b.Run("logs-collect", map[string]string{"scope": "nba,lock-control", "tail": "1"})
		out.Want(actionv1.TaskStatus_TASK_STATUS_SUCCEEDED)
		if calls := b.Machine.Calls(); len(calls) != 0 {
			t.Errorf("the machine was asked for %q, want nothing: logs are only read", calls)
		}
	})
	if len(k.archives) != 1 {
		t.Fatalf("%d archives are kept, want 1", len(k.archives))
	}
	z, err := zip.NewReader(bytes.NewReader(k.archives[0]), int64(len(k.archives[0])))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); !strings.Contains(got, "lock-control/public/unlock/Log/credential-provider.log") || !strings.Contains(got, "nem.log") {
		t.Errorf("the archive holds %q, want both logs", names)
	}
}

func TestNothingToCollectIsNoSuccess(t *testing.T) {
	k := &keeper{}
	runnertest.In(t, collecting(k), func(b *runnertest.Bench) {
		b.Run("logs-collect", map[string]string{"scope": "nba", "include": "ziplog", "since": "1s"}).
			Want(actionv1.TaskStatus_TASK_STATUS_SUCCEEDED)
		b.Machine.RemoveFile("profiles", "ada/AppData/Roaming/Nymi/NEM/Logs/nem.log")
		b.Run("logs-collect", nil).Want(actionv1.TaskStatus_TASK_STATUS_FAILED).WantReason("files collected")
	})
}

func TestACollectionThatIsInterruptedIsMadeAgain(t *testing.T) {
	runnertest.Crash(t, runnertest.Case{
		Setup: collecting(&keeper{}), Action: logsCollect{}, Params: map[string]string{"scope": "nba"},
	})
}
