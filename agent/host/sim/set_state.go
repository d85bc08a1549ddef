package sim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/bandfleet/bandfleet/agent/configfile"
	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/sample"
	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// setClock has the machine's clock be off by so much, for those who ask it of the machine.
func (t *terminal) setClock(ctx context.Context, text string) error {
	offset, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("clock: %q: want how far it is ahead, for example 10m, -10m or 0s", text)
	}
	return changeRecord(ctx, t, detailFile, func(d *detailRecord) error { d.Clock = offset; return nil })
}

func (t *terminal) setFree(ctx context.Context, text string) error {
	mebibytes, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return fmt.Errorf("free: %q: want how much is free on the system's volume, in MiB, for example 65536", text)
	}
	return changeRecord(ctx, t, detailFile, func(d *detailRecord) error { d.FreeBytes = mebibytes << 20; return nil })
}

func (t *terminal) setDomain(ctx context.Context, name string) error {
	return changeRecord(ctx, t, detailFile, func(d *detailRecord) error {
		d.Domain = name
		if name == "none" {
			d.Domain = ""
		}
		return nil
	})
}

func (t *terminal) setDomainRole(ctx context.Context, text string) error {
	role, err := strconv.ParseUint(text, 10, 32)
	const highest = 5
	if err != nil || role > highest {
		return fmt.Errorf("domain-role: %q: want a number as Windows has them: 1 member workstation, 3 member server, 4 and 5 domain controllers", text)
	}
	return changeRecord(ctx, t, detailFile, func(d *detailRecord) error { d.DomainRole = uint32(role); return nil })
}

// setWindows has the machine say that it runs a version of Windows.
func (t *terminal) setWindows(ctx context.Context, version string) error {
	return changeRecord(ctx, t, detailFile, func(d *detailRecord) error {
		d.Windows = version
		if version == "none" {
			d.Windows = ""
		}
		return nil
	})
}

// setRegistry writes a value of the registry, or takes it away.
func (t *terminal) setRegistry(ctx context.Context, name, data string) error {
	at := strings.LastIndexByte(name, '\\')
	if at < 1 || at == len(name)-1 {
		return fmt.Errorf(`registry: %q: want KEY\VALUE, for example SOFTWARE\Nymi\NES\URL`, name)
	}
	r := registry{t, registryFile}
	if data != "none" {
		return r.Set(ctx, name[:at], name[at+1:], data)
	}
	if err := r.Delete(ctx, name[:at], name[at+1:]); !errors.Is(err, host.ErrNotExist) {
		return err
	}
	return nil
}

// newRoot makes a root, has the machine trust it, and leaves it in root.pem of the machine's folder.
func (t *terminal) newRoot(ctx context.Context, text string) error {
	valid, err := validFor("root", text)
	if err != nil {
		return err
	}
	above, err := sample.NewAuthority("Root CA above " + t.Hostname)
	if err != nil {
		return err
	}
	root, err := above.IntermediateUntil("Root CA of "+t.Hostname+" until "+time.Now().Add(valid).Format(time.DateOnly), time.Now().Add(valid))
	if err != nil {
		return err
	}
	if err := t.store(ctx, "Root", root.Certificate.Raw, nil); err != nil {
		return err
	}
	return writePrivate(filepath.Join(t.dir, "root.pem"), sample.CertificatePEM(root.Certificate.Raw))
}

// newCA puts another CA certificate of NES in place of those that are there.
func (t *terminal) newCA(ctx context.Context, text string) error {
	valid, err := validFor("ca-certificate", text)
	if err != nil {
		return err
	}
	authority, err := t.authority()
	if err != nil {
		return err
	}
	ca, err := authority.IntermediateUntil("NESL2CA", time.Now().Add(valid))
	if err != nil {
		return err
	}
	before, err := t.stored("CA")
	if err != nil {
		return err
	}
	for _, c := range before {
		if c.Subject.CommonName == "NESL2CA" {
			if err := (certificates{t}).Remove(ctx, "CA", sample.SHA256(c.Raw)); err != nil {
				return err
			}
		}
	}
	return t.store(ctx, "CA", ca.Certificate.Raw, nil)
}

// setProvider has the CA use the provider that NES needs, or another, or has no CA be configured.
func (t *terminal) setProvider(ctx context.Context, text string) error {
	const key, name = `SYSTEM\CurrentControlSet\Services\CertSvc\Configuration`, "NESL2CA"
	algorithm, ok := map[string]string{"ok": "ECDSA_P256", "other": "RSA", "none": ""}[text]
	if !ok {
		return fmt.Errorf("ca-provider: %q: use ok, other or none", text)
	}
	active := name
	if text == "none" {
		active = "none"
	}
	return errors.Join(
		t.setRegistry(ctx, key+`\Active`, active),
		t.setRegistry(ctx, key+`\`+name+`\CSP\Provider`, "Microsoft Software Key Storage Provider"),
		t.setRegistry(ctx, key+`\`+name+`\CSP\CNGPublicKeyAlgorithm`, algorithm))
}

// setAuthURL changes the console's address of the authentication service.
func (t *terminal) setAuthURL(ctx context.Context, url string) error {
	if url == "none" {
		url = ""
	}
	return t.editWebConfig(ctx, sample.NES, actionv1.ConfigFormat_CONFIG_FORMAT_DOTNET_SETTINGS, "AuthenticationService", url)
}

// setLevel changes a switch of an application's logs.
func (t *terminal) setLevel(ctx context.Context, application, name, level string) error {
	return t.editWebConfig(ctx, application, actionv1.ConfigFormat_CONFIG_FORMAT_DOTNET_SWITCHES, name, level)
}

func (t *terminal) editWebConfig(ctx context.Context, application string, format actionv1.ConfigFormat, key, value string) error {
	folder, ok := t.roots()[application]
	if !ok {
		return fmt.Errorf("application %q: use one of %s", application, strings.Join(sample.Applications(), ", "))
	}
	return t.exclusively(ctx, func() error {
		return editFile(filepath.Join(folder, "web.config"), format, key, value)
	})
}

// editFile changes a key of a file, as somebody with an editor would.
func editFile(file string, format actionv1.ConfigFormat, key, value string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	parsed, err := configfile.Parse(format, content)
	if err != nil {
		return fmt.Errorf("file %q: %w", file, err)
	}
	change := &actionv1.ConfigChange{Key: key}
	if before, ok := parsed.Value(key); ok {
		change.Before = &before
	}
	if value != "none" {
		change.After = &value
	}
	edited, err := configfile.Edit(format, content, []*actionv1.ConfigChange{change})
	if err != nil {
		return fmt.Errorf("file %q: %w", file, err)
	}
	return os.WriteFile(file, edited, 0o600) //nolint:gosec // a file of the simulated machine
}

// nbeSetters are what can be set of the Bluetooth Endpoint's configuration.
func nbeSetters() map[string]setter {
	return map[string]setter{
		"nbe-file": {"default|absent|broken|too-long", 1, func(ctx context.Context, t *terminal, v []string) error {
			return t.exclusively(ctx, func() error { return t.setNBEFile(v[0]) })
		}},
		"nbe": {"KEY VALUE|none", 2, func(ctx context.Context, t *terminal, v []string) error {
			return t.exclusively(ctx, func() error {
				return editFile(filepath.Join(t.dir, endpointFolder, "nbe.toml"), actionv1.ConfigFormat_CONFIG_FORMAT_TOML, v[0], v[1])
			})
		}},
	}
}

func (t *terminal) setNBEFile(text string) error {
	file := filepath.Join(t.dir, endpointFolder, "nbe.toml")
	const tooLong = 300 << 10 // more than anybody reads of it
	switch text {
	case "absent":
		return os.RemoveAll(file)
	case "default":
		return os.WriteFile(file, []byte(t.endpointConfig()), 0o600)
	case "broken":
		return os.WriteFile(file, []byte("agent_url = \n"), 0o600)
	case "too-long":
		return os.WriteFile(file, []byte(t.endpointConfig()+"# "+strings.Repeat("x", tooLong)+"\n"), 0o600)
	}
	return fmt.Errorf("nbe-file: %q: use default, absent, broken or too-long", text)
}
