package sim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	// rebootFile says what a start of the machine does to the agent that asked for it.
	rebootFile = "reboot.json"
	// rebootLog is what the processes write that start the machine anew.
	rebootLog = "reboot.log"
	// rebootPatience bounds the start of all services.
	rebootPatience = 60 * time.Second
)

// rebootRecord is how the machine starts anew.
type rebootRecord struct {
	// EndsAgent: the process that asked is killed, as on a real machine. Somebody must start it again then.
	EndsAgent bool `json:"ends_agent"`
}

// spawnReboot has a process of its own start the machine anew after a delay.
func (t *terminal) spawnReboot(delay time.Duration, message string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	output, err := os.OpenFile(filepath.Join(t.dir, rebootLog), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = output.Close() }() // the process has its own
	if message != "" {
		if _, err := fmt.Fprintf(output, "people are told: %s\n", message); err != nil {
			return err
		}
	}
	cmd := exec.Command(program, "sim", "service", "--dir", t.dir, "--reboot-after", delay.String())
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = t.dir, serviceEnvironment(), output, output, detached()
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // only collects the process
	return nil
}

// rebootAfter is the life of the process that starts the machine anew.
func (t *terminal) rebootAfter(delay time.Duration) int {
	asker := os.Getppid()
	time.Sleep(delay)
	if _, err := os.Stat(filepath.Join(t.dir, terminalFile)); err != nil {
		return complain(exitFault, err) // the terminal is gone
	}
	ctx, cancel := context.WithTimeout(context.Background(), rebootPatience)
	defer cancel()
	if err := errors.Join(t.endAgent(asker), t.reboot(ctx)); err != nil {
		return complain(exitFault, err)
	}
	logLine("the machine has started anew")
	return exitStopped
}

// endAgent kills the process that asked, if that is how this machine starts and it is still there.
func (t *terminal) endAgent(asker int) error {
	record, err := readRecord[rebootRecord](t, rebootFile)
	if err != nil || !record.EndsAgent || os.Getppid() != asker {
		return err
	}
	agent, err := os.FindProcess(asker)
	if err != nil {
		return err
	}
	return agent.Kill()
}

// reboot ends all processes of the machine as a loss of power does, counts the start, and starts what is not disabled.
func (t *terminal) reboot(ctx context.Context) error {
	if err := (programs{t}).EndAll(ctx); err != nil {
		return err
	}
	for _, s := range t.services() {
		if err := s.killNow(ctx); err != nil {
			return fmt.Errorf("service %q: %w", s.name, err)
		}
	}
	err := changeRecord(ctx, t, bootFile, func(boot *bootRecord) error {
		boot.Boots++
		boot.At = time.Now()
		return nil
	})
	if err != nil {
		return err
	}
	if err := t.settleAfterBoot(ctx); err != nil {
		return err
	}
	return t.startEnabled(ctx)
}

// settleAfterBoot ends what was due until the machine had started.
func (t *terminal) settleAfterBoot(ctx context.Context) error {
	err := changeRecord(ctx, t, detailFile, func(d *detailRecord) error { d.RebootPending = false; return nil })
	if err != nil {
		return err
	}
	return changeRecord(ctx, t, featuresFile, func(f *featuresRecord) error { f.RestartDue = false; return nil })
}

// startEnabled starts the services that are not disabled. One that does not start is written down and leaves the others alone.
func (t *terminal) startEnabled(ctx context.Context) error {
	for _, s := range t.services() {
		behaves, err := s.behaviour()
		if err != nil {
			return err
		}
		if behaves.kind == disabled {
			continue
		}
		if err := s.start(ctx); err != nil {
			logLine("service %q: %v", s.name, err)
		}
	}
	return nil
}

// killNow kills a service's process, if it has one.
func (s *service) killNow(ctx context.Context) error {
	seen, err := s.observe()
	if err != nil || seen.Status == statusStopped || seen.PID == 0 {
		return err
	}
	return s.kill(ctx, seen.PID)
}
