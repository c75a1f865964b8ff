package sipmsg

import "strings"

// ContentType returns the media type of the body without its parameters, in lower
// case; "" if the message does not say.
func (m *Message) ContentType() string {
	for h := range m.Headers() {
		if h.ID == HdrContentType {
			t, _, _ := strings.Cut(h.Value, ";")
			return strings.ToLower(trim(t))
		}
	}
	return ""
}

// SetBody replaces the body, whose type and encoding stay what they are, and sets
// Content-Length.
func (e *Edit) SetBody(body string) {
	e.body, e.length = &body, true
}

// newBody returns the body to be sent.
func (e *Edit) newBody() string {
	if e.body != nil {
		return *e.body
	}
	return e.m.Body()
}
