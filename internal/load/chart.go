package load

import (
	"fmt"
	"image/color"
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// ChartFormats are what WriteChart writes.
func ChartFormats() []string { return []string{"svg", "png"} }

// A curve is a line of the chart.
type curve struct {
	name   string
	colour color.RGBA
	dashed bool
	value  func(Row) float64
}

func curves() []curve {
	blue, orange := color.RGBA{R: 0x1f, G: 0x77, B: 0xb4, A: 0xff}, color.RGBA{R: 0xd6, G: 0x5f, B: 0x0e, A: 0xff}
	return []curve{
		{"REGISTER p50", blue, false, func(r Row) float64 { return r.Register.P50 }},
		{"REGISTER p99", blue, true, func(r Row) float64 { return r.Register.P99 }},
		{"call, added p50", orange, false, func(r Row) float64 { return r.Added.P50 }},
		{"call, added p99", orange, true, func(r Row) float64 { return r.Added.P99 }},
	}
}

// WriteChart draws the latencies of the series over time, in the given format.
// Rows without a value leave a gap.
func (s *Summary) WriteChart(w io.Writer, format string) error {
	p := plot.New()
	p.Title.Text = fmt.Sprintf("%s, %d phones", s.Target, s.Phones)
	p.X.Label.Text, p.Y.Label.Text = "seconds", "milliseconds"
	p.X.Min = 0
	// Percentiles and medians are decades apart.
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	drawn := false
	for _, c := range curves() {
		named := false
		for _, points := range c.segments(s.Series) {
			line, err := plotter.NewLine(points)
			if err != nil {
				return fmt.Errorf("draw %s: %w", c.name, err)
			}
			line.Color, line.Width = c.colour, vg.Points(1)
			if c.dashed {
				line.Dashes = []vg.Length{vg.Points(4), vg.Points(2)}
			}
			p.Add(line)
			if !named {
				p.Legend.Add(c.name, line)
			}
			named, drawn = true, true
		}
	}
	if !drawn {
		// A logarithmic axis needs numbers.
		p.X.Max, p.Y.Min, p.Y.Max = 1, 0.1, 10
	}
	// Whole decades, so that there are numbers at the axis, and room for the legend.
	p.Y.Min, p.Y.Max = decade(p.Y.Min, math.Floor), decade(2*p.Y.Max, math.Ceil)
	out, err := p.WriterTo(11*vg.Inch, 5*vg.Inch, format)
	if err != nil {
		return fmt.Errorf("draw the chart: %w", err)
	}
	if _, err := out.WriteTo(w); err != nil {
		return fmt.Errorf("write the chart: %w", err)
	}
	return nil
}

// decade returns the power of ten beside v.
func decade(v float64, round func(float64) float64) float64 {
	return math.Pow(10, round(math.Log10(v)))
}

// segments returns the curve's points, parted where rows have no value.
func (c curve) segments(rows []Row) (parts []plotter.XYs) {
	var part plotter.XYs
	end := func() {
		if len(part) > 0 {
			parts = append(parts, part)
		}
		part = nil
	}
	for _, r := range rows {
		if v := c.value(r); v > 0 {
			part = append(part, plotter.XY{X: r.Seconds, Y: v})
		} else {
			end()
		}
	}
	end()
	return parts
}
