// SPDX-License-Identifier: MIT
// usage: node ship.js SHIPPER PORT   logs two lines with it: "started" as info, and "it broke" as error.
'use strict';

const { Writable } = require('node:stream');

const [shipper, port] = process.argv.slice(2);
const base = `http://127.0.0.1:${port}`;

function say(logger) {
  logger.info('started');
  logger.error('it broke');
}

// pino and bunyan write lines of JSON: collected, and posted as such.
async function postLines(write) {
  const lines = [];
  write(new Writable({
    write(chunk, encoding, done) {
      lines.push(chunk.toString());
      done();
    },
  }));
  const answer = await fetch(`${base}/logs/add`, {
    method: 'POST', headers: { 'Content-Type': 'application/x-ndjson' }, body: lines.join(''),
  });
  if (answer.status !== 200) {
    throw new Error(`${answer.status} ${await answer.text()}`);
  }
}

async function sendOtlp(Exporter) {
  const { LoggerProvider, SimpleLogRecordProcessor } = require('@opentelemetry/sdk-logs');
  const { Resource } = require('@opentelemetry/resources');
  const provider = new LoggerProvider({ resource: new Resource({ 'service.name': 'till' }) });
  provider.addLogRecordProcessor(new SimpleLogRecordProcessor(new Exporter({ url: `${base}/v1/logs` })));
  const logger = provider.getLogger('shop');
  const attributes = { app: 'shop', retries: 3, share: 0.5, ok: false, tags: ['a', 'b'], deep: { x: { y: 1 } } };
  logger.emit({ severityNumber: 9, severityText: 'INFO', body: 'started', attributes, timestamp: new Date() });
  logger.emit({ severityNumber: 17, severityText: 'ERROR', body: 'it broke', attributes, timestamp: new Date() });
  await provider.forceFlush();
  await provider.shutdown();
}

async function sendLoki(json) {
  const winston = require('winston');
  const LokiTransport = require('winston-loki');
  const transport = new LokiTransport({ host: base, json, labels: { app: 'shop' }, interval: 1, onConnectionError: fail });
  const logger = winston.createLogger({ transports: [transport] });
  say(logger);
  await transport.flush();
  logger.close();
}

function fail(error) {
  console.error(error);
  process.exit(1);
}

const shippers = {
  winston: async () => {
    const winston = require('winston');
    const logger = winston.createLogger({ format: winston.format.combine(winston.format.timestamp(), winston.format.json()) });
    logger.add(new winston.transports.Http({ host: '127.0.0.1', port, path: '/logs/add', batch: true, batchCount: 2 }));
    logger.on('error', fail);
    say(logger);
  },
  pino: () => postLines((out) => say(require('pino')({ base: { app: 'shop' } }, out))),
  bunyan: () => postLines((out) => say(require('bunyan').createLogger({ name: 'shop', app: 'shop', streams: [{ stream: out }] }))),
  'otlp-json': () => sendOtlp(require('@opentelemetry/exporter-logs-otlp-http').OTLPLogExporter),
  'otlp-protobuf': () => sendOtlp(require('@opentelemetry/exporter-logs-otlp-proto').OTLPLogExporter),
  'loki-json': () => sendLoki(true),
  'loki-protobuf': () => sendLoki(false),
};

shippers[shipper]().catch(fail);
