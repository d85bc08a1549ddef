package sim

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/bandfleet/bandfleet/agent/host"
)

// shownTerminal is what Show prints.
type shownTerminal struct {
	Dir                string         `json:"dir"`
	Hostname           string         `json:"hostname"`
	Services           []shownService `json:"services"`
	Adapter            string         `json:"adapter"`
	NBETomlPath        string         `json:"nbe_toml_path"`
	NBEDefaultTomlPath string         `json:"nbe_default_toml_path"`
	AgentAddress       string         `json:"agent_address"`
	// Users says by name what the people who are signed in are doing.
	Users     map[string]string `json:"users"`
	LogFolder string            `json:"log_folder"`
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

// Show returns the state of a simulated terminal as JSON.
func Show(dir string) ([]byte, error) {
	t, err := load(dir)
	if err != nil {
		return nil, err
	}
	shown := shownTerminal{
		Dir: t.dir, Hostname: t.Hostname, Adapter: "absent", AgentAddress: loopback(t.AgentPort),
		NBETomlPath:        filepath.Join(t.dir, endpointFolder, "nbe.toml"),
		NBEDefaultTomlPath: filepath.Join(t.dir, endpointFolder, "nbe.default.toml"),
		LogFolder:          filepath.Join(t.dir, logFolder()),
	}
	for _, s := range t.services() {
		service, err := s.show()
		if err != nil {
			return nil, host.ServiceError(s.name, err)
		}
		shown.Services = append(shown.Services, service)
	}
	present, err := t.adapter()
	if err != nil {
		return nil, fmt.Errorf("adapter: %w", err)
	}
	if present {
		shown.Adapter = "present"
	}
	if shown.Users, err = t.showUsers(); err != nil {
		return nil, fmt.Errorf("users: %w", err)
	}
	content, err := json.MarshalIndent(shown, "", "  ")
	return append(content, '\n'), err
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
