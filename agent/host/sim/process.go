package sim

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
)

// Exit codes of a service's process.
const (
	exitStopped      = 0
	exitUsage        = 2
	exitAlreadyLives = 3
	// ExitCode ends each start of a service that is set to crash-on-start, and one that is set to die-after.
	ExitCode  = 7
	exitFault = 9
)

// lockPatience is how long a starting process tries to get its lock, which those who ask whether it lives share for moments.
const lockPatience = 2 * time.Second

// ServiceMain is the process of a simulated service: `sim service --dir DIR --name NAME`, where args are what follows
// "service". Programs of the machine, and what starts it anew, are such processes too. It returns the exit code when the process is to end.
func ServiceMain(args []string) int {
	flags := flag.NewFlagSet("sim service", flag.ContinueOnError)
	dir := flags.String("dir", "", "the simulated terminal")
	name := flags.String("name", "", "display name of the service")
	tool := flags.String("tool", "", "instead of a service: a program of the allow-list")
	linger := flags.Duration("linger", 0, "instead of a service: live so long")
	reboot := flags.Duration("reboot-after", -1, "instead of a service: start the machine anew after this time")
	if flags.Parse(args) != nil {
		return exitUsage
	}
	if *linger > 0 {
		return lingerIn(*dir, *linger)
	}
	t, err := load(*dir)
	switch {
	case err != nil:
		return complain(exitUsage, err)
	case *tool != "":
		return t.toolMain(*tool)
	case *reboot >= 0:
		return t.rebootAfter(*reboot)
	}
	s, err := t.service(*name)
	if err != nil {
		return complain(exitUsage, host.ServiceError(*name, err))
	}
	return s.live()
}

// logLine writes to the service's own log (output.log), which is appended to over its whole life: it tells of each start and end
// to whoever wants to know it from the machine and from no agent.
func logLine(format string, args ...any) {
	fmt.Printf("%s %s\n", time.Now().UTC().Format(time.RFC3339Nano), fmt.Sprintf(format, args...))
}

func complain(code int, err error) int {
	fmt.Fprintln(os.Stderr, err)
	return code
}

// live is the life of a process: it takes the lock, which ends with the process, lives, and leaves word of its end.
func (s *service) live() int {
	ctx, cancel := context.WithTimeout(context.Background(), lockPatience)
	defer cancel()
	lock, err := lockWithin(ctx, s.file(lockName))
	if err != nil {
		return complain(exitAlreadyLives, err)
	}
	// The lock must last until the process is gone, so it is never given back.
	defer runtime.KeepAlive(lock)
	code, err := s.work()
	if err != nil {
		code = complain(exitFault, err)
	}
	logLine("process %d ends with code %d", os.Getpid(), code)
	if err := writeJSON(s.file(endedFile), endedRecord{ExitCode: int64(code), At: time.Now()}); err != nil {
		return complain(exitFault, err)
	}
	return code
}

// work runs until the service is to end, and returns the exit code.
func (s *service) work() (int, error) {
	behaves, err := s.behaviour()
	if err != nil {
		return exitFault, err
	}
	if behaves.kind == crashOnStart {
		return ExitCode, nil
	}
	if behaves.kind != slowStart {
		if err := s.serve(); err != nil {
			return exitFault, err
		}
	}
	orders, err := net.Listen("tcp", loopback(0))
	if err != nil {
		return exitFault, err
	}
	record := processRecord{
		PID: uint32(os.Getpid()), Status: statusRunning, Since: time.Now(),
		ControlPort: orders.Addr().(*net.TCPAddr).Port, Token: rand.Text(),
	}
	if behaves.kind == slowStart {
		record.Status = statusStarting
	}
	if err := writeJSON(s.file(processFile), record); err != nil {
		return exitFault, err
	}
	logLine("runs as process %d", record.PID)
	return s.obey(orders, record, behaves)
}

// serve does what the service is for, as far as that can be seen from outside.
func (s *service) serve() error {
	switch s.key {
	case agentKey:
		return serveAgent(s.AgentPort)
	case webKey:
		return serveWeb(s.terminal)
	}
	return nil
}

// folderCheck is how often a process looks whether its terminal's folder is still there.
const folderCheck = time.Second

// obey takes orders until one ends the service, or its time to die has come, or its terminal's folder is gone: then nobody can
// give it orders any more, and it must not be left behind.
func (s *service) obey(orders net.Listener, record processRecord, behaves behaviour) (int, error) {
	var death, birth <-chan time.Time // never, when nil
	switch behaves.kind {
	case dieAfter:
		death = time.After(behaves.after)
	case slowStart:
		birth = time.After(behaves.after)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.takeOrders(orders, record) }()
	check := time.NewTicker(folderCheck)
	defer check.Stop()
	for {
		select {
		case <-death:
			return ExitCode, nil
		case <-birth:
			record.Status = statusRunning
			if err := errors.Join(s.serve(), writeJSON(s.file(processFile), record)); err != nil {
				return exitFault, err
			}
		case err := <-stopped:
			return exitStopped, err
		case <-check.C:
			if _, err := os.Stat(s.dir); errors.Is(err, fs.ErrNotExist) {
				return exitFault, err
			}
		}
	}
}

// takeOrders returns when the service is to stop.
func (s *service) takeOrders(orders net.Listener, record processRecord) error {
	for {
		conn, err := orders.Accept()
		if err != nil {
			return err
		}
		if !isOrder(conn, record.Token) {
			continue
		}
		if stops, err := s.ordered(record); stops || err != nil {
			return err
		}
	}
}

// isOrder says whether a connection brings the order to stop, from somebody who may read the record.
func isOrder(conn net.Conn, token string) bool {
	defer func() { _ = conn.Close() }() // nothing is written
	if conn.SetReadDeadline(time.Now().Add(time.Second)) != nil {
		return false
	}
	line, err := bufio.NewReaderSize(conn, 128).ReadSlice('\n')
	return err == nil && strings.TrimSpace(string(line)) == token
}

// ordered is told to stop: by the behaviour set now it stops, or stays "stopping".
func (s *service) ordered(record processRecord) (stops bool, err error) {
	behaves, err := s.behaviour()
	if err != nil || behaves.kind != hangOnStop {
		return true, err
	}
	record.Status = statusStopping
	return false, writeJSON(s.file(processFile), record)
}

// serveAgent listens as the Nymi Agent does. It answers each request with "not found", as an agent does on an unknown path.
func serveAgent(port int) error {
	listener, err := net.Listen("tcp", loopback(port))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := server.Serve(listener); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	return nil
}
