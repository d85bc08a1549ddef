package figures

import (
	"bytes"
	"math"
	"testing"
)

func TestPercentile(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[99-i] = float64(i + 1)
	}
	for _, c := range []struct {
		samples []float64
		p, want float64
	}{
		{hundred, 50, 50}, {hundred, 99, 99}, {hundred, 100, 100}, {hundred, 0, 1},
		{[]float64{7}, 50, 7}, {[]float64{7}, 99, 7}, {[]float64{1, 2}, 99, 2}, {[]float64{3, 1, 2}, 50, 2},
	} {
		if got := Percentile(c.samples, c.p); got != c.want {
			t.Errorf("percentile %v of %d samples is %v, want %v", c.p, len(c.samples), got, c.want)
		}
	}
	if !math.IsNaN(Percentile(nil, 50)) || !math.IsNaN(Median(nil)) {
		t.Error("without samples there is a figure: a part that measured nothing would look like one that did")
	}
}

func TestMedian(t *testing.T) {
	for want, samples := range map[float64][]float64{2: {3, 1, 2}, 2.5: {4, 1, 2, 3}, 9: {9}} {
		before := samples[0]
		if got := Median(samples); got != want {
			t.Errorf("median of %v is %v, want %v", samples, got, want)
		}
		if samples[0] != before {
			t.Error("the samples were reordered: whoever goes on with them would take others for his")
		}
	}
}

func TestTable(t *testing.T) {
	table := NewTable("agents", "server", "ms")
	table.Row(10000, "fleetd", 1234.5)
	table.Row("", "ratio", 1.234)
	table.Row("", "none", math.NaN())
	table.Row("", "few", 12.34)
	var out bytes.Buffer
	table.Write(&out)
	const want = `| agents | server | ms    |
|--------|--------|-------|
| 10000  | fleetd | 1,235 |
|        | ratio  | 1.23  |
|        | none   | -     |
|        | few    | 12.3  |
`
	if out.String() != want {
		t.Errorf("the table is\n%swant\n%s", &out, want)
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1000: "-1,000", 1234567: "1,234,567", -123: "-123"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is written %q, want %q", n, got, want)
		}
	}
}
