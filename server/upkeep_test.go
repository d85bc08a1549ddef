package server

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/proto/identity"
	"github.com/bandfleet/bandfleet/server/upkeep"
)

// backup takes a backup as a caller and returns what was sent.
func backup(t *testing.T, conn *grpc.ClientConn, reason string) ([]byte, error) {
	t.Helper()
	st, err := fleetv1.NewMaintenanceServiceClient(conn).Backup(t.Context(), &fleetv1.BackupRequest{Reason: reason})
	if err != nil {
		return nil, err
	}
	var copied bytes.Buffer
	var summary *fleetv1.BackupSummary
	for {
		m, err := st.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		copied.Write(m.GetPortion())
		summary = m.GetSummary()
	}
	sum := sha256.Sum256(copied.Bytes())
	if summary.GetSize() != uint64(copied.Len()) || !bytes.Equal(summary.GetSha256(), sum[:]) {
		t.Errorf("the summary is %v, want that of the %d bytes that were sent", summary, copied.Len())
	}
	return copied.Bytes(), nil
}

// checked writes a backup to a file and checks it.
func checked(t *testing.T, text []byte) (path, said string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "store.bak")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	var lines []string
	if err := upkeep.Check(t.Context(), path, func(line string) { lines = append(lines, line) }); err != nil {
		t.Errorf("the backup is not sound: %v", err)
	}
	return path, strings.Join(lines, "\n")
}

// Jobs run while it is taken: the copy is of one moment all the same.
func TestABackupIsTakenWhileJobsRun(t *testing.T) {
	r := start(t, t.TempDir())
	defer r.halt()
	a := r.enrol(r.token("lyon"), "line-1")
	defer a.conn.Close()
	a.connect("line-1")
	var copying sync.WaitGroup
	var copies [][]byte
	copying.Go(func() {
		for range 5 {
			text, err := backup(t, r.admin, "weekly")
			if err != nil {
				t.Error(err)
			}
			copies = append(copies, text)
		}
	})
	for range 30 {
		r.fix()
		a.serve()
	}
	copying.Wait()
	for _, text := range copies {
		checked(t, text)
	}
	text, err := backup(t, r.admin, "after")
	if err != nil {
		t.Fatal(err)
	}
	if _, said := checked(t, text); !strings.Contains(said, "30 jobs") || !strings.Contains(said, "30 tasks") {
		t.Errorf("the last backup holds\n%s\nwant all jobs", said)
	}
}

func TestOnlyAdministratorsOfAllSitesTakeBackups(t *testing.T) {
	r := start(t, t.TempDir())
	defer r.halt()
	a := r.enrol(r.token("lyon"), "line-1")
	defer a.conn.Close()
	if _, err := backup(t, a.conn, ""); status.Code(err) != codes.PermissionDenied {
		t.Errorf("an agent: %v, want PERMISSION_DENIED", err)
	}
	key, err := identity.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := identity.NewCSR(key)
	if err != nil {
		t.Fatal(err)
	}
	local, err := fleetv1.NewAccessServiceClient(r.admin).CreateOperator(t.Context(), &fleetv1.CreateOperatorRequest{
		Name: "bob", Csr: csr, Bindings: []*fleetv1.RoleBinding{{Role: fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN, Sites: []string{"lyon"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	bob := r.dial(clientTLS(t, key, local.GetCertificateChain(), local.GetTrustBundle()))
	defer bob.Close()
	if _, err := backup(t, bob, ""); status.Code(err) != codes.PermissionDenied {
		t.Errorf("an administrator of one site: %v, want PERMISSION_DENIED: a backup holds every site", err)
	}
	if _, err := backup(t, r.admin, "two\nlines"); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a reason that is no line of text: %v, want INVALID_ARGUMENT", err)
	}
}

// The server goes on from a backup that is older than what its agent has done since.
func TestAnAgentComesBackToARestoredServer(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir)
	a := r.enrol(r.token("lyon"), "line-1")
	a.connect("line-1")
	open := r.fix()
	text, err := backup(t, r.admin, "")
	if err != nil {
		t.Fatal(err)
	}
	a.serve()
	lost := r.fix()
	a.serve()
	chain := r.renewed(a)
	a.conn.Close()
	r.halt()
	from, _ := checked(t, text)
	done, err := upkeep.Restore(t.Context(), upkeep.Restoration{DataDir: dir, From: from, Replace: true, Now: time.Now()}, func(string) {})
	if err != nil || done.Withdrawn != 1 {
		t.Fatalf("%+v, %v", done, err)
	}

	r = start(t, dir)
	defer r.halt()
	a.conn = r.dial(chain)
	defer a.conn.Close()
	a.connect("line-1")
	task := a.hear().GetDispatch().GetTask()
	if task.GetKey().GetJobId() != open.GetId() || task.GetEpoch() != done.Epoch {
		t.Errorf("dispatched was %v, want the question for job %s in epoch %d", task, open.GetId(), done.Epoch)
	}
	if c := a.hear().GetCancel(); c.GetKey().GetJobId() != open.GetId() {
		t.Errorf("after it came %v, want it taken back: it may have been done or cancelled since", c)
	}
	// Its journal knows both, and that the restored server has acknowledged neither does no harm.
	for _, id := range []string{open.GetId(), lost.GetId(), lost.GetId()} {
		a.say(&agentv1.ConnectRequest{Message: &agentv1.ConnectRequest_Result{Result: &agentv1.Result{
			Key: &agentv1.TaskKey{JobId: id, Attempt: 1}, Result: &actionv1.TaskResult{Status: actionv1.TaskStatus_TASK_STATUS_SUCCEEDED, Plugin: "endpoint"},
		}}})
		if ack := a.hear().GetResultAck(); ack.GetKey().GetJobId() != id {
			t.Errorf("the result of job %s was answered with %v, want its acknowledgement", id, ack)
		}
	}
	if job := r.watch(open.GetId()); job.GetCounts().GetSucceeded() != 1 {
		t.Errorf("the job of the backup is %v, want the success that its agent tells of", job)
	}
	if _, err := r.jobs().GetJob(t.Context(), &fleetv1.GetJobRequest{Id: lost.GetId()}); status.Code(err) != codes.NotFound {
		t.Errorf("the job of after the backup: %v, want NOT_FOUND", err)
	}
}
