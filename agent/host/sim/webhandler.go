package sim

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bandfleet/bandfleet/agent/host/sample"
)

// webHandler answers as the default site of a NES host does.
type webHandler struct {
	*terminal
	tls bool
}

// ServeHTTP implements http.Handler.
func (h webHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status, body, err := h.answer(r.URL.Path)
	if err != nil {
		logLine("web server: %s: %v", r.URL.Path, err)
		status, body = http.StatusInternalServerError, []byte("the simulated host cannot answer\n")
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the asker may be gone
}

// answer is the status and the content of a path.
func (h webHandler) answer(path string) (int, []byte, error) {
	web, err := h.web()
	if err != nil {
		return 0, nil, err
	}
	if status, ok := web.Answers[path]; ok {
		return status, page(status, web.Substatus[path]), nil
	}
	switch {
	case !web.Sites[defaultSite]:
		return http.StatusServiceUnavailable, nil, nil
	case !h.tls && web.requiresTLS(path):
		return http.StatusForbidden, []byte("403.4: TLS is required\n"), nil
	}
	for application, pool := range web.Applications {
		if strings.HasPrefix(path+"/", application+"/") {
			return h.answerApplication(application, web.Pools[pool])
		}
	}
	if name, ok := strings.CutPrefix(path, "/crl/"); ok && slices.Contains(sample.CRLNames(), name) {
		return h.answerFile(filepath.Join(webFolder, "crl", name))
	}
	return http.StatusNotFound, nil, nil
}

// page is that of an error, as IIS shows it on its own machine; empty without a substatus.
func page(status, substatus int) []byte {
	if substatus == 0 {
		return nil
	}
	return fmt.Appendf(nil, "<title>IIS Detailed Error - %d.%d</title>\n", status, substatus)
}

// answerApplication answers 503 while the application's pool does not run, and 500 when its configuration is no XML.
func (h webHandler) answerApplication(application string, pool poolRecord) (int, []byte, error) {
	runs, err := h.runs(processKey)
	if err != nil {
		return 0, nil, err
	}
	if !runs || !pool.Started {
		return http.StatusServiceUnavailable, nil, nil
	}
	content, err := os.ReadFile(filepath.Join(h.dir, applicationFolder(application[1:]), "web.config"))
	if err != nil {
		return 0, nil, err
	}
	if err := wellFormed(content); err != nil {
		return http.StatusInternalServerError, fmt.Appendf(nil, "500.19: web.config: %v\n", err), nil
	}
	return http.StatusOK, []byte("simulated\n"), nil
}

func (h webHandler) answerFile(name string) (int, []byte, error) {
	content, err := os.ReadFile(filepath.Join(h.dir, name)) //nolint:gosec // its callers name the files
	if errors.Is(err, fs.ErrNotExist) {
		return http.StatusNotFound, nil, nil
	}
	return http.StatusOK, content, err
}

// requiresTLS goes by the flags of the longest location that holds a path.
func (w webRecord) requiresTLS(path string) bool {
	flags, longest := "", -1
	for location, f := range w.Flags {
		if strings.HasPrefix(defaultSite+path+"/", location+"/") && len(location) > longest {
			flags, longest = f, len(location)
		}
	}
	return slices.Contains(strings.Split(flags, ","), "Ssl")
}

// wellFormed says where a configuration file is no XML. UTF-16 is not looked into.
func wellFormed(content []byte) error {
	if bytes.HasPrefix(content, []byte("\xff\xfe")) || bytes.HasPrefix(content, []byte("\xfe\xff")) {
		return nil
	}
	decoder := xml.NewDecoder(bytes.NewReader(bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))))
	for {
		_, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
