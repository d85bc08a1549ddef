package host

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// What appcmd.exe, the web server's own command line, says with /xml. Names of elements and attributes are the same in every language
// of Windows.

// appcmdOutput is the answer to any list command. The elements that a command does not list are empty.
type appcmdOutput struct {
	Sites []appcmdSite   `xml:"SITE"`
	Pools []appcmdPool   `xml:"APPPOOL"`
	Apps  []appcmdApp    `xml:"APP"`
	Dirs  []appcmdDir    `xml:"VDIR"`
	Parts []appcmdConfig `xml:"CONFIG"`
	Error *appcmdError   `xml:"ERROR"`
}

type appcmdError struct {
	Message string `xml:"message,attr"`
}

type appcmdSite struct {
	Name     string          `xml:"SITE.NAME,attr"`
	State    string          `xml:"state,attr"`
	Bindings []appcmdBinding `xml:"site>bindings>binding"`
}

type appcmdBinding struct {
	Protocol string `xml:"protocol,attr"`
	// Information is "address:port:host", the address of IP version 6 in brackets.
	Information string `xml:"bindingInformation,attr"`
	SSLFlags    uint32 `xml:"sslFlags,attr"`
}

type appcmdPool struct {
	Name  string `xml:"APPPOOL.NAME,attr"`
	State string `xml:"state,attr"`
	Model struct {
		Identity string `xml:"identityType,attr"`
	} `xml:"add>processModel"`
}

type appcmdApp struct {
	Name string `xml:"APP.NAME,attr"`
	Site string `xml:"SITE.NAME,attr"`
	Pool string `xml:"APPPOOL.NAME,attr"`
	Path string `xml:"path,attr"`
}

type appcmdDir struct {
	Name   string `xml:"VDIR.NAME,attr"`
	App    string `xml:"APP.NAME,attr"`
	Path   string `xml:"path,attr"`
	Folder string `xml:"physicalPath,attr"`
}

// appcmdConfig is a section of the configuration as it counts at a location.
type appcmdConfig struct {
	Sections []struct {
		XMLName  xml.Name
		SSLFlags string `xml:"sslFlags,attr"`
	} `xml:",any"`
}

// parseAppcmd reads an answer. One that says what went wrong, in XML or in words, is an error.
func parseAppcmd(output string, exitCode int) (*appcmdOutput, error) {
	start := strings.Index(output, "<appcmd")
	if start < 0 {
		// A list of nothing ends with code 1 and an empty answer.
		if strings.TrimSpace(output) == "" && exitCode <= 1 {
			return &appcmdOutput{}, nil
		}
		return nil, toolFailed("appcmd", output, exitCode)
	}
	var answer appcmdOutput
	decoder := xml.NewDecoder(strings.NewReader(output[start:]))
	if err := decoder.Decode(&answer); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("appcmd: its answer cannot be read: %w", err)
	}
	if answer.Error != nil {
		return nil, toolFailed("appcmd", answer.Error.Message, exitCode)
	}
	return &answer, nil
}

// appcmd asks the web server.
type appcmd struct{ run tool }

// list runs a list command.
func (a appcmd) list(ctx context.Context, arguments ...string) (*appcmdOutput, error) {
	output, exitCode, err := a.run(ctx, append(append([]string{"list"}, arguments...), "/xml")...)
	if err != nil {
		return nil, err
	}
	return parseAppcmd(output, exitCode)
}

// do runs a command that changes something.
func (a appcmd) do(ctx context.Context, arguments ...string) error {
	output, exitCode, err := a.run(ctx, arguments...)
	if err == nil && exitCode != 0 {
		err = toolFailed("appcmd", output, exitCode)
	}
	return err
}

// sites lists the sites with their bindings, defaults included.
func (a appcmd) sites(ctx context.Context) ([]appcmdSite, error) {
	answer, err := a.list(ctx, "site", "/config:*")
	if err != nil {
		return nil, err
	}
	return answer.Sites, nil
}

// endpoint takes a binding's information apart.
func (b appcmdBinding) endpoint() (address string, port uint32, host string, err error) {
	rest, host, ok := cutLast(b.Information, ":")
	address, number, ok2 := cutLast(rest, ":")
	parsed, parseErr := strconv.ParseUint(number, 10, 16)
	if !ok || !ok2 || parseErr != nil {
		return "", 0, "", fmt.Errorf("binding %q: is not address:port:host", b.Information)
	}
	if address = strings.Trim(address, "[]"); address == "" {
		address = "*"
	}
	return address, uint32(parsed), host, nil
}

// information is the other way round.
func information(address string, port uint32, host string) string {
	if ip := net.ParseIP(address); ip != nil && ip.To4() == nil {
		address = "[" + address + "]"
	}
	return fmt.Sprintf("%s:%d:%s", address, port, host)
}

func cutLast(s, separator string) (before, after string, found bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+len(separator):], true
}

// checkIISName refuses a name that appcmd could take for something else than a name.
func checkIISName(kind, name string) error {
	if name == "" || len(name) > maxNameBytes || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || strings.ContainsRune(`"'[]<>|^*?:`, r) }) ||
		strings.HasPrefix(name, "/") || strings.HasPrefix(name, "-") || strings.HasSuffix(name, `\`) {
		return fmt.Errorf("%s %q: is not allowed as a name", kind, name)
	}
	return nil
}
