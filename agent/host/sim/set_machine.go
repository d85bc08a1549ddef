package sim

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/sample"
)

func (t *terminal) changeTool(ctx context.Context, name, mode string) error {
	if _, err := t.tool(name); err != nil {
		return err
	}
	if !slices.Contains(toolModes(), mode) {
		return fmt.Errorf("%q is no mode: use %s", mode, strings.Join(toolModes(), ", "))
	}
	return t.exclusively(ctx, func() error { return t.setTool(name, mode) })
}

// reach lets the machine find a simulated NES host by its name.
func (t *terminal) reach(ctx context.Context, dir string) error {
	nes, err := loadNES(dir)
	if err != nil {
		return err
	}
	return errors.Join(
		t.addHost(ctx, fmt.Sprintf("%s:%d", nes.Hostname, httpPort), loopback(nes.HTTPPort)),
		t.addHost(ctx, fmt.Sprintf("%s:%d", nes.Hostname, httpsPort), loopback(nes.HTTPSPort)))
}

func loadNES(dir string) (*terminal, error) {
	nes, err := load(dir)
	if err == nil && !nes.isNES() {
		err = fmt.Errorf("simulated terminal %q: is no NES host: make one with `fleet-agent sim init --role %s DIR`", dir, RoleNESHost)
	}
	return nes, err
}

// rootOf reads a certificate from a PEM file, or the root of a simulated NES host's authority.
func rootOf(name string) (*x509.Certificate, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	file := name
	if info.IsDir() {
		if _, err := loadNES(name); err != nil {
			return nil, err
		}
		file = filepath.Join(name, authorityFolder, "root.pem")
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	certificate, err := sample.ParseCertificatePEM(content)
	if err != nil {
		return nil, fmt.Errorf("file %q: %w", file, err)
	}
	return certificate, nil
}

// trust adds a root to the machine's own.
func (t *terminal) trust(ctx context.Context, name string) error {
	root, err := rootOf(name)
	if err != nil {
		return fmt.Errorf("trust: %w", err)
	}
	return t.store(ctx, "Root", root.Raw, nil)
}

// distrust takes a root away. One that is not there is an error.
func (t *terminal) distrust(ctx context.Context, name string) error {
	sha256 := name
	root, err := rootOf(name)
	switch {
	case err == nil:
		sha256 = sample.SHA256(root.Raw)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("distrust: %w", err)
	}
	return certificates{t}.Remove(ctx, "Root", sha256)
}

// setNESURL writes the address of the NES that this machine uses.
func (t *terminal) setNESURL(ctx context.Context, url string) error {
	const key, value = `SOFTWARE\Nymi\NES`, "URL"
	r := registry{t, registryFile}
	if url != "none" {
		return r.Set(ctx, key, value, url)
	}
	if err := r.Delete(ctx, key, value); !errors.Is(err, host.ErrNotExist) {
		return err
	}
	return nil
}

func (t *terminal) setUSBSuspend(ctx context.Context, text string) error {
	records := map[string]powerRecord{"on": {AC: 1, DC: 1}, "off": {}, "policy": {AC: 1, DC: 1, ByPolicy: true}}
	record, ok := records[text]
	if !ok {
		return fmt.Errorf("usb-suspend: %q: use on, off or policy (on, and set by a group policy)", text)
	}
	return changeRecord(ctx, t, powerFile, func(settings *map[string]powerRecord) error {
		if *settings == nil {
			*settings = map[string]powerRecord{}
		}
		(*settings)[usbSuspend] = record
		return nil
	})
}

func (t *terminal) setFeature(ctx context.Context, name, text string) error {
	if text != "installed" && text != "absent" && text != "unknown" {
		return fmt.Errorf("feature %q: %q: use installed, absent or unknown", name, text)
	}
	return changeRecord(ctx, t, featuresFile, func(f *featuresRecord) error {
		if f.Installed == nil {
			f.Installed = map[string]bool{}
		}
		f.Installed[name] = text == "installed"
		if text == "unknown" {
			delete(f.Installed, name)
		}
		return nil
	})
}

func (t *terminal) setDotNet(ctx context.Context, text string) error {
	release, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return fmt.Errorf("dotnet: %q: want a release number, for example %d for 4.8", text, dotNet48)
	}
	return changeRecord(ctx, t, detailFile, func(d *detailRecord) error { d.DotNetRelease = uint32(release); return nil })
}

func (t *terminal) setRebootPending(ctx context.Context, text string) error {
	if text != "yes" && text != "no" {
		return fmt.Errorf("reboot-pending: %q: use yes or no", text)
	}
	return changeRecord(ctx, t, detailFile, func(d *detailRecord) error { d.RebootPending = text == "yes"; return nil })
}

// setReboot starts the machine anew, or says what later starts do to the agent that asks for them.
func (t *terminal) setReboot(ctx context.Context, text string) error {
	switch text {
	case "now":
		return t.reboot(ctx)
	case "ends-agent", "keeps-agent":
		return changeRecord(ctx, t, rebootFile, func(r *rebootRecord) error { r.EndsAgent = text == "ends-agent"; return nil })
	}
	return fmt.Errorf("reboot: %q: use now, or ends-agent or keeps-agent for starts that an agent asks for", text)
}
