package sim

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
	"github.com/bandfleet/bandfleet/agent/host/sample"
)

// shownTerminal is what Show prints.
type shownTerminal struct {
	Dir                string         `json:"dir"`
	Hostname           string         `json:"hostname"`
	Role               string         `json:"role"`
	Services           []shownService `json:"services"`
	Adapter            string         `json:"adapter,omitempty"`
	NBETomlPath        string         `json:"nbe_toml_path,omitempty"`
	NBEDefaultTomlPath string         `json:"nbe_default_toml_path,omitempty"`
	AgentAddress       string         `json:"agent_address,omitempty"`
	// Users says by name what the people who are signed in are doing.
	Users     map[string]string `json:"users"`
	LogFolder string            `json:"log_folder,omitempty"`
	Boots     int               `json:"boots"`
	// Tools says by name how the programs of the allow-list behave.
	Tools map[string]string `json:"tools,omitempty"`
	// Registry has the values by "key @ value", in lower case.
	Registry map[string]string   `json:"registry,omitempty"`
	Stores   map[string][]string `json:"certificates"`
	Web      *shownWeb           `json:"web,omitempty"`
}

type shownService struct {
	Name      string    `json:"name"`
	Key       string    `json:"key"`
	Status    string    `json:"status"`
	PID       uint32    `json:"pid"`
	ExitCode  int64     `json:"exit_code"`
	Behaviour string    `json:"behaviour"`
	Since     time.Time `json:"since,omitzero"`
}

// shownWeb is the web server of a NES host.
type shownWeb struct {
	// HTTPAddress and HTTPSAddress are where the ports 80 and 443 really are.
	HTTPAddress  string          `json:"http_address"`
	HTTPSAddress string          `json:"https_address"`
	Bindings     []bindingRecord `json:"bindings"`
	// Configs are the web.config files by application.
	Configs map[string]string `json:"web_configs"`
	webRecord
}

// Show returns the state of a simulated machine as JSON.
func Show(dir string) ([]byte, error) {
	t, err := load(dir)
	if err != nil {
		return nil, err
	}
	shown := shownTerminal{Dir: t.dir, Hostname: t.Hostname, Role: RoleUserTerminal, Stores: map[string][]string{}, Tools: map[string]string{}}
	for _, s := range t.services() {
		service, err := s.show()
		if err != nil {
			return nil, host.ServiceError(s.name, err)
		}
		shown.Services = append(shown.Services, service)
	}
	for _, fill := range []func(*shownTerminal) error{t.showMachine, t.showStores, t.showRole} {
		if err := fill(&shown); err != nil {
			return nil, err
		}
	}
	content, err := json.MarshalIndent(shown, "", "  ")
	return append(content, '\n'), err
}

func (t *terminal) showMachine(shown *shownTerminal) error {
	boot, err := readRecord[bootRecord](t, bootFile)
	if err != nil {
		return fmt.Errorf("start of the machine: %w", err)
	}
	shown.Boots = boot.Boots
	if shown.Users, err = t.showUsers(); err != nil {
		return fmt.Errorf("users: %w", err)
	}
	if shown.Registry, err = (registry{t, registryFile}).values(); err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	folders, err := filepath.Glob(t.toolFile("*", toolFile))
	if err != nil {
		return err
	}
	for _, file := range folders {
		name := filepath.Base(filepath.Dir(file))
		record, err := t.tool(name)
		if err != nil {
			return fmt.Errorf("tool %q: %w", name, err)
		}
		shown.Tools[name] = record.Mode
	}
	return nil
}

func (t *terminal) showStores(shown *shownTerminal) error {
	for _, store := range storeNames() {
		stored, err := t.stored(store)
		if err != nil {
			return err
		}
		for _, certificate := range stored {
			shown.Stores[store] = append(shown.Stores[store], sample.SHA256(certificate.Raw))
		}
	}
	return nil
}

// showRole fills in what only machines of the role have.
func (t *terminal) showRole(shown *shownTerminal) error {
	if t.isNES() {
		return t.showWeb(shown)
	}
	adapter, err := t.adapter()
	if err != nil {
		return fmt.Errorf("adapter: %w", err)
	}
	shown.Adapter, shown.AgentAddress = adapter.state(), loopback(t.AgentPort)
	shown.NBETomlPath = filepath.Join(t.dir, endpointFolder, "nbe.toml")
	shown.NBEDefaultTomlPath = filepath.Join(t.dir, endpointFolder, "nbe.default.toml")
	shown.LogFolder = filepath.Join(t.dir, logFolder())
	return nil
}

func (t *terminal) showWeb(shown *shownTerminal) error {
	shown.Role = RoleNESHost
	web, err := t.web()
	if err != nil {
		return fmt.Errorf("web server: %w", err)
	}
	records, err := t.bindings()
	if err != nil {
		return fmt.Errorf("bindings: %w", err)
	}
	configs := map[string]string{}
	for _, application := range sample.Applications() {
		configs[application] = filepath.Join(t.dir, applicationFolder(application), "web.config")
	}
	shown.Web = &shownWeb{
		HTTPAddress: loopback(t.HTTPPort), HTTPSAddress: loopback(t.HTTPSPort), Bindings: records, Configs: configs, webRecord: web,
	}
	return nil
}

func (t *terminal) showUsers() (map[string]string, error) {
	records, err := t.signedIn()
	shown := map[string]string{}
	for name, record := range records {
		shown[name] = record.Activity
	}
	return shown, err
}

func (s *service) show() (shownService, error) {
	seen, err := s.observe()
	if err != nil {
		return shownService{}, err
	}
	behaves, err := s.behaviour()
	return shownService{
		Name: s.name, Key: s.key, Status: seen.Status, PID: seen.PID, ExitCode: seen.exitCode,
		Behaviour: behaves.String(), Since: seen.Since,
	}, err
}
