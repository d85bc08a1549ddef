package sim

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// Behaviours of a service, as `fleet-agent sim set` writes them.
const (
	normal       = "normal"
	hangOnStop   = "hang-on-stop"
	crashOnStart = "crash-on-start"
	dieAfter     = "die-after"
	slowStart    = "slow-start"
	disabled     = "disabled"
	// missing: it is not installed.
	missing = "missing"
)

// behaviour is what goes wrong with a service. The process reads it when it starts and each time it is asked to stop.
type behaviour struct {
	kind string
	// after is how long after its start the process of dieAfter ends, and that of slowStart runs.
	after time.Duration
}

func parseBehaviour(text string) (behaviour, error) {
	switch text {
	case normal, hangOnStop, crashOnStart, disabled, missing:
		return behaviour{kind: text}, nil
	}
	kind, value, ok := strings.Cut(text, "=")
	if !ok || kind != dieAfter && kind != slowStart {
		return behaviour{}, fmt.Errorf("%q is no behaviour: use %s, %s, %s, %s=DURATION, %s=DURATION, %s or %s",
			text, normal, hangOnStop, crashOnStart, dieAfter, slowStart, disabled, missing)
	}
	after, err := time.ParseDuration(value)
	if err != nil || after <= 0 {
		return behaviour{}, fmt.Errorf("%q is no behaviour: %s needs a duration above zero, for example %s=5s", text, kind, kind)
	}
	return behaviour{kind: kind, after: after}, nil
}

func (b behaviour) String() string {
	if b.kind == dieAfter || b.kind == slowStart {
		return b.kind + "=" + b.after.String()
	}
	return b.kind
}

// behaviour reads how the service behaves; normal when nothing was set.
func (s *service) behaviour() (behaviour, error) {
	text, err := os.ReadFile(s.file(behaviourFile))
	if errors.Is(err, fs.ErrNotExist) {
		return behaviour{kind: normal}, nil
	}
	if err != nil {
		return behaviour{}, err
	}
	return parseBehaviour(strings.TrimSpace(string(text)))
}

// setBehaviour stores how the service behaves from now on.
func (s *service) setBehaviour(b behaviour) error {
	temporary := s.file(behaviourFile + ".new")
	if err := os.WriteFile(temporary, []byte(b.String()+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, s.file(behaviourFile))
}
