// Program testtool stands for the vendor's tool that reads the internal log of a band. The tests on real parts put it on the allow-list of
// an agent, which runs it without a word about its behaviour: that is read from a file, as with testservice.
//
// Its behaviour: `normal` writes a new file next to itself, encrypted for all that anybody can tell, and ends; `hang` starts a child that
// listens on an address, and waits for it. The child would hold the adapter after the tool's end.
package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// logSize is how long a band's log is here, in bytes: more than one chunk of a transfer.
const logSize = 300_000

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "testtool:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("testtool", flag.ContinueOnError)
	behaviour := flags.String("behaviour", "", "file that holds the behaviour; no file means normal")
	listen := flags.String("listen", "", "address that the child of a tool that hangs listens on")
	child := flags.Bool("child", false, "be that child")
	if err := flags.Parse(args); err != nil {
		return err
	}
	mode, err := os.ReadFile(*behaviour)
	switch {
	case *child:
		return accept(*listen)
	case err == nil && string(bytes.TrimSpace(mode)) == "hang":
		return exec.Command(os.Args[0], "-child", "-listen", *listen).Run()
	default:
		return writeLog()
	}
}

func writeLog() error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	log := make([]byte, logSize)
	if _, err := rand.Read(log); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(filepath.Dir(exe), fmt.Sprintf("band-%d.nlg", time.Now().UnixNano())), log, 0o600)
}

// accept takes connections until the process is ended.
func accept(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return errors.Join(err, l.Close())
		}
		_ = c.Close() // who connects only wants to know whether this runs
	}
}
