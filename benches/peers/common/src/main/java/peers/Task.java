package peers;

import java.io.Serializable;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;

/**
 * What a run is asked to do, as {@code name=value} words: read {@code in} from its beginning, reduce each window of each
 * series to a result on {@code out}, and end once {@code records} have been read and everything is written.
 */
public record Task(String brokers, String id, String in, String out, long widthMs, long slideMs, long latenessMs,
        long records, boolean percentile, String state, Map<String, String> choices) implements Serializable {
    private static final Set<String> COMMON = Set.of("brokers", "id", "in", "out", "width_ms", "slide_ms",
            "lateness_ms", "records", "percentile", "state");

    /** @param choices what this program can be asked beside the common words, with its defaults */
    public static Task of(String[] words, Map<String, String> choices) {
        Map<String, String> given = new HashMap<>();
        Map<String, String> chosen = new HashMap<>(choices);
        for (String word : words) {
            int equals = word.indexOf('=');
            String name = equals < 0 ? word : word.substring(0, equals);
            if (equals < 0 || !COMMON.contains(name) && !choices.containsKey(name)) {
                throw new IllegalArgumentException("`" + word + "` is not one of " + COMMON + choices.keySet());
            }
            (COMMON.contains(name) ? given : chosen).put(name, word.substring(equals + 1));
        }
        for (String name : COMMON) {
            if (!given.containsKey(name)) {
                throw new IllegalArgumentException("`" + name + "=` is missing");
            }
        }
        return new Task(given.get("brokers"), given.get("id"), given.get("in"), given.get("out"),
                Long.parseLong(given.get("width_ms")), Long.parseLong(given.get("slide_ms")),
                Long.parseLong(given.get("lateness_ms")), Long.parseLong(given.get("records")),
                Boolean.parseBoolean(given.get("percentile")), given.get("state"), Map.copyOf(chosen));
    }

    public boolean chose(String name, String value) {
        return value.equals(choices.get(name));
    }
}
