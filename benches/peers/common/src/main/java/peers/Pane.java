package peers;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * What a window holds: count, sum, minimum and maximum; and its values too, where a percentile is asked for. Its fields
 * are public, and it has an empty constructor: Flink then serialises it well.
 */
public final class Pane {
    public long count;
    public double sum;
    public double minimum = Double.POSITIVE_INFINITY;
    public double maximum = Double.NEGATIVE_INFINITY;
    /** Null without percentiles; as long as a power of two that holds {@code count}. */
    public double[] values;

    public Pane add(double value, boolean keep) {
        if (keep) {
            if (values == null) {
                values = new double[8];
            } else if (count == values.length) {
                values = Arrays.copyOf(values, values.length * 2);
            }
            values[(int) count] = value;
        }
        count++;
        sum += value;
        minimum = Math.min(minimum, value);
        maximum = Math.max(maximum, value);
        return this;
    }

    public byte[] toBytes() {
        int kept = values == null ? 0 : (int) count;
        ByteBuffer bytes = ByteBuffer.allocate(32 + 8 * kept);
        bytes.putLong(count).putDouble(sum).putDouble(minimum).putDouble(maximum);
        for (int i = 0; i < kept; i++) {
            bytes.putDouble(values[i]);
        }
        return bytes.array();
    }

    public static Pane ofBytes(byte[] array) {
        ByteBuffer bytes = ByteBuffer.wrap(array);
        Pane pane = new Pane();
        pane.count = bytes.getLong();
        pane.sum = bytes.getDouble();
        pane.minimum = bytes.getDouble();
        pane.maximum = bytes.getDouble();
        if (bytes.hasRemaining()) {
            pane.values = new double[Math.max(8, Integer.highestOneBit((int) pane.count * 2 - 1))];
            bytes.asDoubleBuffer().get(pane.values, 0, (int) pane.count);
        }
        return pane;
    }

    /** The value of the output record. */
    public byte[] result(long start, long end) {
        StringBuilder text = new StringBuilder(160);
        text.append("{\"start\":").append(start).append(",\"end\":").append(end).append(",\"count\":").append(count)
                .append(",\"values\":{");
        if (values == null) {
            text.append("\"count\":").append(count).append(",\"sum\":").append(sum).append(",\"minimum\":")
                    .append(minimum).append(',');
        } else {
            text.append("\"p99\":").append(rank(0.99)).append(',');
        }
        text.append("\"maximum\":").append(maximum).append(",\"average\":").append(sum / count).append("}}");
        return text.toString().getBytes(StandardCharsets.UTF_8);
    }

    /** The nearest rank: the smallest value that at least this share of the values does not exceed. */
    private double rank(double share) {
        double[] sorted = Arrays.copyOf(values, (int) count);
        Arrays.sort(sorted);
        return sorted[(int) Math.ceil(share * count) - 1];
    }
}
