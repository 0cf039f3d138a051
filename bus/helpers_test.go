package bus_test

import (
	"github.com/nats-io/nats.go"

	"github.com/qarion/qarion/bus"
)

type busT = bus.Bus

func natsMsg(subject, data string) *nats.Msg {
	return &nats.Msg{Subject: subject, Data: []byte(data), Header: nats.Header{}}
}
