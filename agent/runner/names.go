package runner

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// What a plugin names is checked for its shape before any of it gets near a command or an interface of the operating system.
var (
	sha256Text  = regexp.MustCompile(`^[0-9a-f]{64}$`)
	guidText    = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	usbIDText   = regexp.MustCompile(`^[0-9a-f]{4}$`)
	programText = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)
	featureText = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
	hostText    = regexp.MustCompile(`^[A-Za-z0-9*]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)
	kindText    = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
)

// Bounds of what one call may name.
const (
	maxFeatures  = 64
	maxLocations = 64
)

// certificateStores are the stores that actions may know of.
func certificateStores() []string { return []string{"Root", "CA", "My", "WebHosting"} }

func checkStore(store string) error {
	if !slices.Contains(certificateStores(), store) {
		return fmt.Errorf("certificate store %q: is not one of %s", clip(store, maxName), strings.Join(certificateStores(), ", "))
	}
	return nil
}

func checkSHA256(what, text string) error {
	if !sha256Text.MatchString(text) {
		return fmt.Errorf("%s %q: is not a SHA-256 in lower case hexadecimal", what, clip(text, maxName))
	}
	return nil
}

// checkNamed wants a name of people's making: a site, a pool, a location, a folder.
func checkNamed(what, name string) error {
	if name == "" || len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, unprintable) || strings.ContainsAny(name, `"<>|*?`) {
		return fmt.Errorf("%s %q: is not a name that one may have", what, clip(name, maxName))
	}
	return nil
}

// checkFolder wants a folder's name that means nothing else to a program of the operating system.
func checkFolder(name string) error {
	if err := checkNamed("folder", name); err != nil {
		return err
	}
	if strings.ContainsAny(name, "'`$;&%,") {
		return fmt.Errorf("folder %q: has characters that the name of such a folder may not have", clip(name, maxName))
	}
	return nil
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

func checkPower(s *actionv1.PowerSetting) error {
	for _, id := range []string{s.GetSubgroup(), s.GetSetting()} {
		if !guidText.MatchString(id) {
			return fmt.Errorf("power setting %q: is not a GUID in lower case", clip(id, maxName))
		}
	}
	if s.GetScheme() != "" && !guidText.MatchString(s.GetScheme()) {
		return fmt.Errorf("power scheme %q: is not a GUID in lower case", clip(s.GetScheme(), maxName))
	}
	return nil
}

func checkUSB(vendor, product string) error {
	if !usbIDText.MatchString(vendor) || !usbIDText.MatchString(product) {
		return fmt.Errorf("USB ids %q and %q: are not four lower case hexadecimal digits each", clip(vendor, maxName), clip(product, maxName))
	}
	return nil
}

func checkProgram(name string) error {
	if !programText.MatchString(name) {
		return fmt.Errorf("program %q: is not a name of lower case letters, digits and dashes", clip(name, maxName))
	}
	return nil
}

func checkFeatures(names []string) error {
	if n := len(names); n == 0 || n > maxFeatures {
		return fmt.Errorf("%d features: want 1 to %d", n, maxFeatures)
	}
	for _, name := range names {
		if !featureText.MatchString(name) {
			return fmt.Errorf("feature %q: is not the name of one", clip(name, maxName))
		}
	}
	return nil
}

func checkLocations(locations []string) error {
	if n := len(locations); n > maxLocations {
		return fmt.Errorf("%d locations: want at most %d", n, maxLocations)
	}
	for _, l := range locations {
		if err := checkNamed("location", l); err != nil {
			return err
		}
	}
	return nil
}
