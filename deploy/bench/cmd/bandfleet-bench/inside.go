package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"

	"github.com/bandfleet/bandfleet/server"
)

// serveFleetd is fleetd in a process that can be asked what cannot be seen from outside: "goroutines", "heap FILE" for a profile of
// what is in use, and a processor profile between "profile FILE" and "profiled".
func serveFleetd(args []string) error {
	if len(args) != 2 {
		return errors.New("fleetd: want a data directory and an address")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	s, err := server.New(ctx, server.Config{DataDir: args[0], Listen: args[1], Version: "bench", Log: log})
	if err != nil {
		return err
	}
	go answerInside(os.Stdin, os.Stdout) // ends with the process
	return s.Run(ctx)
}

func answerInside(in io.Reader, out io.Writer) {
	var profile *os.File
	for lines := bufio.NewScanner(in); lines.Scan(); {
		question, file, _ := strings.Cut(lines.Text(), " ")
		var err error
		switch question {
		case "goroutines":
			fmt.Fprintln(out, runtime.NumGoroutine())
			continue
		case "profile":
			if profile, err = os.Create(file); err == nil {
				err = pprof.StartCPUProfile(profile)
			}
		case "heap":
			err = writeHeap(file)
		case "profiled":
			pprof.StopCPUProfile()
			err = profile.Close()
		}
		fmt.Fprintln(out, err)
	}
}

func writeHeap(file string) error {
	runtime.GC()
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(pprof.WriteHeapProfile(f), f.Close())
}
