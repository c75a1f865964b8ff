package registrar

import (
	"encoding/json"
	"strings"

	"reveille/internal/sipmsg"
)

// Bounds of what is kept of a REGISTER for others to read.
const (
	maxCapture = 8
	// maxCaptured bounds one value, in bytes.
	maxCaptured = 128
)

// capture reads the header fields that are kept as attributes. All contacts get
// them anew, for one that is not there any more is no attribute any more.
func (p *Policy) capture(m *sipmsg.Message, in *Input) {
	if len(p.Capture) == 0 {
		return
	}
	values := map[string]string{}
	for _, name := range p.Capture {
		if v, ok := m.HeaderNamed(name); ok {
			v = v[:min(len(v), maxCaptured)]
			values[strings.ToLower(name)] = strings.ToValidUTF8(v, "")
		}
	}
	text := AttributesOf(values)
	in.Attributes = &text
}

// AttributesOf returns values in the form of Binding.Attributes.
func AttributesOf(values map[string]string) string {
	if len(values) == 0 {
		return ""
	}
	text, err := json.Marshal(values)
	if err != nil {
		return "" // It never fails: strings can be written.
	}
	return string(text)
}
