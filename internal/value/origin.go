package value

// Origin says where a value comes from, as a set: a value computed from
// several has the origins of all. The egress guard trusts a host only when its
// Origin.Trusted; the redactor hides what is Secret. The zero Origin is text
// that stands in the flow file itself.
type Origin uint8

// The origins.
const (
	Variable  Origin = 1 << iota // a default from the flow file's [variables]
	Trigger                      // given by whoever started the run
	Response                     // an XCom value or a response, and what was computed from one
	Engine                       // made by the engine: run id, attempt
	Secret                       // a credential's field
	Sensitive                    // left by a task that says so: all of it is hidden
)

// Trusted reports whether the author of the flow file wrote the value.
func (o Origin) Trusted() bool { return o&^(Variable) == 0 }

// Secret reports whether a credential, or what a sensitive task has left, had a
// part in the value.
func (o Origin) Secret() bool { return o&(Secret|Sensitive) != 0 }

// Sensitive reports whether what a sensitive task has left had a part in it.
func (o Origin) Sensitive() bool { return o&Sensitive != 0 }
