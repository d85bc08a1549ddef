//go:build linux

// Package wine gives tests a Windows machine of their own: a Wine prefix with a real service control manager, registry and
// file system, in which programs built for Windows run. Only the end-to-end tests with the build tag real use it.
package wine

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// shimSource is the one DLL that Go programs want and Wine 8 lacks.
//
//go:embed shim/bcryptprimitives.c
var shimSource []byte

// loader is Debian's 64-bit Wine. The wrapper /usr/bin/wine asks for a 32-bit one on each run, which nothing here needs.
const loader = "/usr/lib/wine/wine64"

// Prefix is one Windows machine.
type Prefix struct {
	dir string
	// keeper is a shell that waits for input. Wine ends all services when the last ordinary program ends.
	keeper *exec.Cmd
}

// Start makes and starts a machine in dir, which must not exist yet, from a template that is kept in cache (12 s the first time).
func Start(ctx context.Context, cache, dir string) (*Prefix, error) {
	template := &Prefix{dir: filepath.Join(cache, "wine-prefix")}
	if _, err := os.Stat(template.ready()); err != nil {
		if err := template.make(ctx); err != nil {
			return nil, fmt.Errorf("wine prefix %q: %w", template.dir, err)
		}
	}
	if out, err := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", template.dir, dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("copy wine prefix to %q: %w: %s", dir, err, out)
	}
	p := &Prefix{dir: dir}
	return p, p.keepRunning()
}

func (p *Prefix) keepRunning() error {
	// Not bound to a context: Stop ends it with everything else.
	p.keeper = p.Command(context.Background(), "cmd")
	if _, err := p.keeper.StdinPipe(); err != nil {
		return err
	}
	return p.keeper.Start()
}

// ready is the file whose presence says that a template is complete.
func (p *Prefix) ready() string { return filepath.Join(p.dir, "bandfleet-ready") }

func (p *Prefix) make(ctx context.Context) error {
	if err := os.RemoveAll(p.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	if out, err := p.Run(ctx, "wineboot", "-i"); err != nil {
		return fmt.Errorf("wineboot: %w: %s", err, out)
	}
	if err := p.Stop(ctx); err != nil {
		return err
	}
	if err := p.installShim(ctx); err != nil {
		return err
	}
	return os.WriteFile(p.ready(), nil, 0o600)
}

// installShim compiles bcryptprimitives.dll into the prefix.
func (p *Prefix) installShim(ctx context.Context) error {
	tmp, err := os.MkdirTemp("", "bandfleet-shim-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	source := filepath.Join(tmp, "bcryptprimitives.c")
	if err := os.WriteFile(source, shimSource, 0o600); err != nil {
		return err
	}
	dll := p.Path(`C:\windows\system32\bcryptprimitives.dll`)
	out, err := exec.CommandContext(ctx, "x86_64-w64-mingw32-gcc", "-shared", "-O2", "-o", dll, source, "-ladvapi32").CombinedOutput()
	if err != nil {
		return fmt.Errorf("bcryptprimitives.dll: %w: %s", err, out)
	}
	return nil
}

// Path turns a path below C:\ into the path on this machine.
func (p *Prefix) Path(windows string) string {
	below := strings.TrimPrefix(windows, `C:\`)
	return filepath.Join(p.dir, "drive_c", filepath.FromSlash(strings.ReplaceAll(below, `\`, "/")))
}

// Write writes a file below C:\, and the folders that lead to it.
func (p *Prefix) Write(windows string, content []byte) error {
	path := p.Path(windows)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o755)
}

// Copy copies a file of this machine to a path below C:\.
func (p *Prefix) Copy(from, windows string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return p.Write(windows, content)
}

// Command prepares a program of the prefix: a path below C:\ or a name such as "sc". It runs only when started.
func (p *Prefix) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, loader, append([]string{program}, args...)...)
	c.Env = []string{
		"WINEPREFIX=" + p.dir, "WINEARCH=win64", "WINEDEBUG=-all",
		// No desktop, no Mono or Gecko installer windows.
		"WINEDLLOVERRIDES=mscoree,mshtml=;winemenubuilder.exe=d", "DISPLAY=",
		"HOME=" + p.dir, "PATH=/usr/bin:/bin",
	}
	return c
}

// Run runs a program to its end and returns what it wrote. Output goes through a file: services that a program starts keep
// its pipes open.
func (p *Prefix) Run(ctx context.Context, program string, args ...string) (string, error) {
	out, err := os.CreateTemp("", "bandfleet-wine-")
	if err != nil {
		return "", err
	}
	defer func() { _ = out.Close(); _ = os.Remove(out.Name()) }()
	c := p.Command(ctx, program, args...)
	c.Stdout, c.Stderr = out, out
	runErr := c.Run()
	text, err := os.ReadFile(out.Name())
	if err != nil {
		return "", err
	}
	return string(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))), runErr
}

// Stop ends every process of the machine and waits for their end.
func (p *Prefix) Stop(ctx context.Context) error {
	for _, option := range []string{"-k", "-w"} {
		c := exec.CommandContext(ctx, "/usr/lib/wine/wineserver64", option)
		c.Env = []string{"WINEPREFIX=" + p.dir, "HOME=" + p.dir}
		if out, err := c.CombinedOutput(); err != nil && option == "-w" {
			return fmt.Errorf("wineserver %s: %w: %s", option, err, out)
		}
	}
	if p.keeper != nil {
		// It was killed, so its exit says nothing.
		_ = p.keeper.Wait()
	}
	return nil
}
