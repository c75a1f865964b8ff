package configs

// Identity is the policy for what requests say of who sent them.
type Identity struct {
	From FromPolicy `yaml:"from"`
	// TrustOutbound tells phones who calls even if the caller asked for privacy.
	TrustOutbound bool `yaml:"trust_outbound"`
}

// FromPolicy says what becomes of a request whose authenticated sender writes an
// address of somebody else into From.
type FromPolicy string

// RejectFrom answers 403, OverwriteFrom puts the user's own address there, AnyFrom
// lets it pass.
const (
	RejectFrom    FromPolicy = "reject"
	OverwriteFrom FromPolicy = "overwrite"
	AnyFrom       FromPolicy = "any"
)

func (FromPolicy) values() []string {
	return []string{string(RejectFrom), string(OverwriteFrom), string(AnyFrom)}
}
