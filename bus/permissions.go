package bus

import (
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// inboxEngine is where answers to the engine's own connections and to commands
// with full rights arrive. Others may listen on _INBOX.> alone, so they cannot
// read along.
const inboxEngine = "_QARION"

// publicStreams are the views that anybody on loopback may read.
var publicStreams = [...]string{StreamEvents, "KV_qarion_xcom", "KV_qarion_runs"}

// publicPermissions is what a client without a login may do: start runs, ask
// the service, and read the event stream and the two public buckets. All else
// is denied by not being named. The lists are never empty: to the server an
// empty list means "everything".
func publicPermissions() *server.Permissions {
	publish := []string{
		subjectTrigger + "*",
		subjectAPI + ".run.>",
		subjectAPI + ".flow.>",
		subjectAPI + ".xcom.>",
		subjectAPI + ".query",
		subjectAPI + ".node.>",
		"$SRV.>",
		"$JS.API.INFO",
		"$JS.API.STREAM.NAMES",
	}
	for _, stream := range publicStreams {
		for _, call := range readCalls {
			publish = append(publish, strings.Replace(call, "*S*", stream, 1))
		}
	}
	return &server.Permissions{
		Publish: &server.SubjectPermission{Allow: publish},
		Subscribe: &server.SubjectPermission{Allow: []string{
			"_INBOX.>", SubjectLog + ">", SubjectEvent + ">", "$KV.qarion_xcom.>", "$KV.qarion_runs.>",
		}},
	}
}

// readCalls are the requests of the JetStream API with which a stream *S* is
// read: by message, by consumer, and as a bucket. A reader deletes the
// consumer that it made.
var readCalls = [...]string{
	"$JS.API.STREAM.INFO.*S*",
	"$JS.API.STREAM.MSG.GET.*S*",
	"$JS.API.DIRECT.GET.*S*",
	"$JS.API.DIRECT.GET.*S*.>",
	"$JS.API.CONSUMER.CREATE.*S*",
	"$JS.API.CONSUMER.CREATE.*S*.>",
	"$JS.API.CONSUMER.INFO.*S*.*",
	"$JS.API.CONSUMER.MSG.NEXT.*S*.*",
	"$JS.API.CONSUMER.DELETE.*S*.*",
	"$JS.ACK.*S*.>",
	"$JS.FC.*S*.>",
}
