package host

import "strings"

// keyLevels are the keys that lead to a registry key, from the top, itself included ("SOFTWARE", `SOFTWARE\Nymi`).
func keyLevels(key string) []string {
	key = strings.Trim(key, `\`)
	var levels []string
	for i, r := range key {
		if r == '\\' {
			levels = append(levels, key[:i])
		}
	}
	return append(levels, key)
}
