package peers;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.serialization.AbstractDeserializationSchema;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.StateBackendOptions;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.KafkaSourceBuilder;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.DataStreamUtils;
import org.apache.flink.streaming.api.datastream.KeyedStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.SlidingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.assigners.WindowAssigner;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * The windows on Flink: in this process, one slot, state on the heap, a checkpoint to files every ten seconds.
 *
 * <p>Choices: {@code shuffle} none (the topic is keyed already, so records stay where they are read) or keyby,
 * {@code guarantee} at_least_once or exactly_once, {@code bounded} whether it ends where the topic does.
 */
public final class FlinkWindows {
    private FlinkWindows() {}

    public static void main(String[] words) throws Exception {
        Task task = Task.of(words, Map.of("shuffle", "none", "guarantee", "at_least_once", "bounded", "true"));
        Configuration settings = new Configuration();
        settings.set(StateBackendOptions.STATE_BACKEND, "hashmap");
        // Kept in the job manager, as they are unless told otherwise, checkpoints fail above 5 MB.
        settings.set(CheckpointingOptions.CHECKPOINT_STORAGE, "filesystem");
        settings.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, Path.of(task.state()).toUri().toString());
        StreamExecutionEnvironment job = StreamExecutionEnvironment.createLocalEnvironment(1, settings);
        job.enableCheckpointing(10_000, CheckpointingMode.EXACTLY_ONCE);
        job.getConfig().enableObjectReuse();

        KafkaSourceBuilder<Reading> source = KafkaSource.<Reading>builder()
                .setBootstrapServers(task.brokers())
                .setTopics(task.in())
                .setGroupId(task.id())
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setValueOnlyDeserializer(new Readings());
        if (task.chose("bounded", "true")) {
            source.setBounded(OffsetsInitializer.latest());
        }
        DataStream<Reading> readings = job.fromSource(source.build(), WatermarkStrategy
                .<Reading>forBoundedOutOfOrderness(Duration.ofMillis(task.latenessMs()))
                .withTimestampAssigner((reading, recordTime) -> reading.timestamp), "readings");
        KeyedStream<Reading, String> keyed = task.chose("shuffle", "keyby")
                ? readings.keyBy(reading -> reading.identifier)
                : DataStreamUtils.reinterpretAsKeyedStream(readings, reading -> reading.identifier, Types.STRING);
        keyed.window(windows(task)).aggregate(new Reduce(task.percentile()), new Result()).sinkTo(results(task));
        job.execute(task.id());
    }

    private static WindowAssigner<Object, TimeWindow> windows(Task task) {
        Duration width = Duration.ofMillis(task.widthMs());
        return task.slideMs() == task.widthMs()
                ? TumblingEventTimeWindows.of(width)
                : SlidingEventTimeWindows.of(width, Duration.ofMillis(task.slideMs()));
    }

    private static KafkaSink<Tuple2<String, byte[]>> results(Task task) {
        String out = task.out();
        return KafkaSink.<Tuple2<String, byte[]>>builder()
                .setBootstrapServers(task.brokers())
                .setRecordSerializer((result, context, time) ->
                        new ProducerRecord<>(out, result.f0.getBytes(StandardCharsets.UTF_8), result.f1))
                .setDeliveryGuarantee(task.chose("guarantee", "exactly_once")
                        ? DeliveryGuarantee.EXACTLY_ONCE
                        : DeliveryGuarantee.AT_LEAST_ONCE)
                .setTransactionalIdPrefix(task.id())
                // An hour unless told otherwise; brokers allow a quarter of that.
                .setProperty("transaction.timeout.ms", "600000")
                .setProperty("batch.size", "262144")
                .setProperty("linger.ms", "100")
                .build();
    }

    private static final class Readings extends AbstractDeserializationSchema<Reading> {
        @Override
        public Reading deserialize(byte[] value) {
            return Reading.read(value);
        }
    }

    private static final class Reduce implements AggregateFunction<Reading, Pane, Pane> {
        private final boolean keep;

        Reduce(boolean keep) {
            this.keep = keep;
        }

        @Override
        public Pane createAccumulator() {
            return new Pane();
        }

        @Override
        public Pane add(Reading reading, Pane pane) {
            return pane.add(reading.valueInW, keep);
        }

        @Override
        public Pane getResult(Pane pane) {
            return pane;
        }

        @Override
        public Pane merge(Pane one, Pane other) {
            throw new UnsupportedOperationException("only windows of sessions merge");
        }
    }

    private static final class Result extends ProcessWindowFunction<Pane, Tuple2<String, byte[]>, String, TimeWindow> {
        @Override
        public void process(String key, Context context, Iterable<Pane> panes, Collector<Tuple2<String, byte[]>> out) {
            for (Pane pane : panes) {
                out.collect(Tuple2.of(key, pane.result(context.window().getStart(), context.window().getEnd())));
            }
        }
    }
}
