package peers;

import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.EmitStrategy;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.TimeWindowedKStream;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.state.BuiltInDslStoreSuppliers;
import org.apache.kafka.streams.state.DslStoreSuppliers;
import org.apache.kafka.streams.state.WindowStore;

/**
 * The windows on Kafka Streams: one thread, final results only.
 *
 * <p>Choices: {@code guarantee} at_least_once or exactly_once_v2, {@code store} rocksdb or memory, {@code last} emit (the
 * aggregation gives a window's result once, when it closes) or suppress (a buffer behind it holds back all but the last).
 */
public final class StreamsWindows {
    private StreamsWindows() {}

    public static void main(String[] words) throws InterruptedException {
        Task task = Task.of(words, Map.of("guarantee", "exactly_once_v2", "store", "rocksdb", "last", "emit"));
        CountDownLatch unread = new CountDownLatch(1);
        try (KafkaStreams streams = new KafkaStreams(topology(task, unread), settings(task))) {
            streams.setUncaughtExceptionHandler(error -> {
                error.printStackTrace();
                Runtime.getRuntime().halt(1);
                return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
            });
            streams.start();
            unread.await();
            // Closing commits, and so writes what is still held.
        }
    }

    private static Topology topology(Task task, CountDownLatch unread) {
        Serde<Reading> reading = Serdes.serdeFrom(
                (topic, value) -> { throw new UnsupportedOperationException("readings are only read"); },
                (topic, bytes) -> Reading.read(bytes));
        boolean keep = task.percentile();
        long[] seen = {0};
        StreamsBuilder builder = new StreamsBuilder();
        TimeWindowedKStream<String, Reading> windows = builder
                .stream(task.in(), Consumed.with(Serdes.String(), reading)
                        .withTimestampExtractor((record, partitionTime) -> ((Reading) record.value()).timestamp))
                .peek((key, value) -> {
                    // One thread runs all tasks.
                    if (++seen[0] == task.records()) {
                        unread.countDown();
                    }
                })
                .groupByKey()
                .windowedBy(TimeWindows
                        .ofSizeAndGrace(Duration.ofMillis(task.widthMs()), Duration.ofMillis(task.latenessMs()))
                        .advanceBy(Duration.ofMillis(task.slideMs())));
        if (task.chose("last", "emit")) {
            windows = windows.emitStrategy(EmitStrategy.onWindowClose());
        }
        KTable<Windowed<String>, Pane> panes =
                windows.aggregate(Pane::new, (key, value, pane) -> pane.add(value.valueInW, keep), state(task));
        if (task.chose("last", "suppress")) {
            panes = panes.suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()));
        }
        panes.toStream()
                .map((window, pane) -> KeyValue.pair(window.key(), pane.result(window.window().start(), window.window().end())))
                .to(task.out(), Produced.with(Serdes.String(), Serdes.ByteArray()));
        return builder.build();
    }

    private static Materialized<String, Pane, WindowStore<Bytes, byte[]>> state(Task task) {
        DslStoreSuppliers stores =
                task.chose("store", "memory") ? BuiltInDslStoreSuppliers.IN_MEMORY : BuiltInDslStoreSuppliers.ROCKS_DB;
        return Materialized.<String, Pane, WindowStore<Bytes, byte[]>>as(stores)
                .withKeySerde(Serdes.String())
                .withValueSerde(Serdes.serdeFrom((topic, pane) -> pane.toBytes(), (topic, bytes) -> Pane.ofBytes(bytes)));
    }

    private static Properties settings(Task task) {
        Properties settings = new Properties();
        settings.putAll(Map.of(
                StreamsConfig.APPLICATION_ID_CONFIG, task.id(),
                StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, task.brokers(),
                StreamsConfig.STATE_DIR_CONFIG, task.state(),
                StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1,
                StreamsConfig.PROCESSING_GUARANTEE_CONFIG, task.choices().get("guarantee"),
                // Windows are otherwise closed once a second of the wall clock; a run that ends within that second
                // would lose its last ones.
                StreamsConfig.InternalConfig.EMIT_INTERVAL_MS_KSTREAMS_WINDOWED_AGGREGATION, 0L,
                StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 256 * 1024,
                // Changelogs are kept by event time, which lies years back.
                StreamsConfig.topicPrefix("retention.ms"), "-1"));
        return settings;
    }
}
