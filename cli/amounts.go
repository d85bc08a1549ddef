package cli

import (
	"strconv"
	"strings"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// parseAmount reads "4" or "10%". An empty text is none. A problem is added under the flag's name.
func parseAmount(flag, text string, problems *[]string) *fleetv1.Amount {
	if text == "" {
		return nil
	}
	digits, share := strings.CutSuffix(text, "%")
	n, err := strconv.ParseUint(digits, 10, 32)
	switch {
	case err != nil || n == 0 || strings.HasPrefix(digits, "+"):
		*problems = append(*problems, flag+" "+strconv.Quote(text)+": want a number from 1, or a share from 1% to 100%")
		return nil
	case share && n > 100:
		*problems = append(*problems, flag+" "+text+": a share is at most 100%")
		return nil
	case share:
		return percent(uint32(n))
	default:
		return count(uint32(n))
	}
}

func count(n uint32) *fleetv1.Amount {
	return &fleetv1.Amount{Amount: &fleetv1.Amount_Count{Count: n}}
}

func percent(n uint32) *fleetv1.Amount {
	return &fleetv1.Amount{Amount: &fleetv1.Amount_Percent{Percent: n}}
}

// amountWord writes an amount as parseAmount reads it; "" when it is unset.
func amountWord(a *fleetv1.Amount) string {
	switch a.GetAmount().(type) {
	case *fleetv1.Amount_Count:
		return number(a.GetCount())
	case *fleetv1.Amount_Percent:
		return number(a.GetPercent()) + "%"
	default:
		return ""
	}
}

// mostWaves is the most that the API takes.
const mostWaves = 20

// parseWaves reads "1,5%,25%,100%": amounts that grow, the last one all.
func parseWaves(text string, problems *[]string) []*fleetv1.Amount {
	var waves []*fleetv1.Amount
	before := len(*problems)
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			*problems = append(*problems, "--waves "+strconv.Quote(text)+": a wave is empty")
			continue
		}
		waves = append(waves, parseAmount("--waves", part, problems))
	}
	if len(*problems) > before {
		return nil
	}
	if len(waves) > mostWaves {
		*problems = append(*problems, "--waves: "+strconv.Itoa(len(waves))+" waves are given, want at most "+strconv.Itoa(mostWaves))
	}
	if waves[len(waves)-1].GetPercent() != 100 {
		*problems = append(*problems, "--waves "+text+": the last wave must be 100%")
	}
	for i, w := range waves[1:] {
		if !grows(waves[i], w) {
			*problems = append(*problems, "--waves "+text+": each wave holds those before it, and "+amountWord(w)+" after "+amountWord(waves[i])+" does not grow")
		}
	}
	return waves
}

// grows compares what can be compared without knowing the targets: numbers with numbers, shares with shares.
func grows(from, to *fleetv1.Amount) bool {
	switch {
	case from.GetPercent() == 100:
		return false
	case from.GetPercent() > 0 && to.GetPercent() > 0:
		return from.GetPercent() < to.GetPercent()
	case from.GetCount() > 0 && to.GetCount() > 0:
		return from.GetCount() < to.GetCount()
	default:
		return true
	}
}
