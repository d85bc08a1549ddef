//go:build realhost

package host_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
)

// programArgument makes the test program a program of an allow-list: see actAsProgram.
const programArgument = "fixture-program"

// actAsProgram writes one more file and ends with a code ("write 3"), or only ends ("end 3"), or starts a child that listens and waits for
// it ("wait"), or is that child ("listen"), or waits ("hang").
func actAsProgram(args []string) int {
	switch args[0] {
	case "end", "write":
		code, _ := strconv.Atoi(args[1])
		if args[0] == "end" {
			return code
		}
		return writeOrFail(fmt.Sprintf("band-%d.log", time.Now().UnixNano()), "encrypted", code)
	case "hang":
		time.Sleep(time.Hour) // it is ended
	case "wait":
		if err := exec.Command(os.Args[0], programArgument, "listen").Run(); err != nil {
			return 90
		}
	case "listen":
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil || writeOrFail("address", listener.Addr().String(), 0) != 0 {
			return 91
		}
		for err == nil {
			_, err = listener.Accept()
		}
	}
	return 94
}

func writeOrFail(name, content string, code int) int {
	if err := os.WriteFile(name+".tmp", []byte(content), 0o600); err != nil {
		return 92
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		return 93
	}
	return code
}

// approve puts the test program on a list, in an empty folder.
func approve(t *testing.T, arguments ...string) (programs host.Programs, folder string) {
	t.Helper()
	path, hash := testProgram(t)
	folder = emptyFolder(t)
	h, err := host.Local(host.LocalConfig{Programs: map[string]host.Program{"tool": {
		Path: path, SHA256: []string{hash}, Arguments: append([]string{programArgument}, arguments...), Folder: folder,
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return h.Programs, folder
}

func TestApprovedProgramRuns(t *testing.T) {
	programs, _ := approve(t, "write", "3")
	state, err := programs.Run(t.Context(), "tool")
	if err != nil || state.GetExitCode() != 3 || state.GetTimedOut() || len(state.GetNewFiles()) != 1 {
		t.Fatalf("Run = %v, %v; want exit code 3 and one new file", state, err)
	}
	file, err := programs.Open(t.Context(), "tool", state.GetNewFiles()[0].GetPath())
	if err != nil {
		t.Fatal(err)
	}
	defer closeOrFail(t, file)
	if content, err := io.ReadAll(file); err != nil || string(content) != "encrypted" {
		t.Errorf("the new file holds %q, %v; want what the program wrote", content, err)
	}
}

// TestProgramTreeEndsAtItsDeadline: what the program has started ends with it.
func TestProgramTreeEndsAtItsDeadline(t *testing.T) {
	programs, folder := approve(t, "wait")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	address := make(chan string, 1)
	go func() {
		address <- childAddress(ctx, folder)
		cancel()
	}()
	state, err := programs.Run(ctx, "tool")
	if err != nil || !state.GetTimedOut() {
		t.Fatalf("Run = %v, %v; want that it was ended", state, err)
	}
	if conn, err := net.DialTimeout("tcp", <-address, time.Second); err == nil {
		closeOrFail(t, conn)
		t.Error("the program's child still runs, want the whole tree ended: it would keep the adapter in use")
	}
}

// childAddress waits until the child answers.
func childAddress(ctx context.Context, folder string) string {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var address string
	err := host.Poll(ctx, 20*time.Millisecond, func() (bool, error) {
		content, err := os.ReadFile(filepath.Join(folder, "address"))
		if err != nil {
			return false, nil //nolint:nilerr // not yet
		}
		address = string(content)
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return false, nil //nolint:nilerr // not yet
		}
		return true, conn.Close()
	})
	if err != nil {
		return fmt.Sprintf("the child did not answer: %v", err)
	}
	return address
}
